"""The resources of a mesh: typed outputs, which of them are secret, and type names that are part of every state."""

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from mesh.providers import KeyPairProvider, PresharedKeyProvider, RolloutProvider, RosterProvider

__all__ = ["KeyPair", "PresharedKey", "Rollout", "Roster"]


def _with_secrets(opts: ResourceOptions | None, *names: str) -> ResourceOptions:
    return ResourceOptions.merge(ResourceOptions(additional_secret_outputs=list(names)), opts)


class KeyPair(Resource, module="mesh", name="KeyPair"):
    """A host's X25519 key pair on one interface; a new `rotation` makes a new one, an earlier one brings it back."""

    privateKey: Output[str]
    publicKey: Output[str]
    createdAt: Output[str]

    def __init__(
        self,
        name: str,
        *,
        interface: str,
        host: str,
        rotation: str,
        adopted: Input[str] = "",
        opts: ResourceOptions | None = None,
    ) -> None:
        """Make the key, or adopt one that exists."""
        props = {
            "interface": interface,
            "host": host,
            "rotation": rotation,
            "adopted": Output.secret(adopted) if adopted else "",
            **dict.fromkeys(("privateKey", "publicKey", "createdAt", "kept")),
        }
        super().__init__(KeyPairProvider(), name, props, _with_secrets(opts, "privateKey", "kept", "adopted"))


class PresharedKey(Resource, module="mesh", name="PresharedKey"):
    """The key that all hosts of a mesh share; made anew when an owner leaves, or for a new `rotation`."""

    presharedKey: Output[str]
    createdAt: Output[str]

    def __init__(
        self,
        name: str,
        *,
        interface: str,
        owners: Sequence[str],
        rotation: str,
        adopted: Input[str] = "",
        opts: ResourceOptions | None = None,
    ) -> None:
        """Make the key, or adopt one that exists."""
        props = {
            "interface": interface,
            "owners": sorted(owners),
            "rotation": rotation,
            "adopted": Output.secret(adopted) if adopted else "",
            **dict.fromkeys(("presharedKey", "createdAt", "knownTo", "kept")),
        }
        super().__init__(PresharedKeyProvider(), name, props, _with_secrets(opts, "presharedKey", "kept", "adopted"))


class Roster(Resource, module="mesh", name="Roster"):
    """The public data of all members; its diff is what a reviewer reads, its deletion wipes the hosts."""

    roster: Output[Mapping[str, Any]]
    rosterId: Output[str]
    leavers: Output[Mapping[str, Any]]

    def __init__(
        self, name: str, *, mesh: Input[str], roster: Mapping[str, Any], opts: ResourceOptions | None = None
    ) -> None:
        """Record the members."""
        props = {"mesh": mesh, "roster": roster, "rosterId": None, "leavers": None}
        super().__init__(RosterProvider(), name, props, opts)


class Rollout(Resource, module="mesh", name="Rollout"):
    """All hosts brought to the roster as one transaction, proven; `digest` names the plan that they run."""

    digest: Output[str]
    notWiped: Output[Sequence[str]]
    pending: Output[Sequence[str]]
    systems: Output[Mapping[str, Any]]

    def __init__(
        self,
        name: str,
        *,
        mesh: Input[str],
        roster: Roster,
        preshared_key: Input[str],
        adopted: Sequence[str] = (),
        opts: ResourceOptions | None = None,
    ) -> None:
        """Roll the roster out; the hosts in `adopted` may hand over an interface that runs the key they bring."""
        props = {
            "mesh": mesh,
            "roster": roster.roster,
            "rosterId": roster.rosterId,
            "leavers": roster.leavers,
            "presharedKey": Output.secret(preshared_key),
            "adopted": sorted(adopted),
            **dict.fromkeys(("digest", "systems", "pending", "wiped", "notWiped", "drift")),
        }
        super().__init__(RolloutProvider(), name, props, _with_secrets(opts, "presharedKey"))
