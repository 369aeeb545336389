"""The resources of a mesh: typed outputs, which of them are secret, and type names that are part of every state."""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource

from mesh.providers import (
    KeyPairProvider,
    PresharedKeyProvider,
    RolloutProvider,
    RosterProvider,
    SurveyProvider,
)

__all__ = ["KeyPairResource", "PresharedKeyResource", "RolloutResource", "RosterResource", "SurveyResource"]


def _with_secrets(opts: ResourceOptions | None, *names: str) -> ResourceOptions:
    return ResourceOptions.merge(ResourceOptions(additional_secret_outputs=list(names)), opts)


class KeyPairResource(Resource, module="mesh", name="KeyPair"):
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
        max_key_age: int = 0,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Make the key, or adopt one that exists."""
        props = {
            "interface": interface,
            "host": host,
            "rotation": rotation,
            "adopted": Output.secret(adopted) if adopted else "",
            "maxKeyAge": max_key_age,
            **dict.fromkeys(("privateKey", "publicKey", "createdAt", "kept")),
        }
        super().__init__(KeyPairProvider(), name, props, _with_secrets(opts, "privateKey", "kept", "adopted"))


class PresharedKeyResource(Resource, module="mesh", name="PresharedKey"):
    """The key that all hosts of a mesh share; regenerated when an owner leaves, or for a new `rotation`."""

    owners: Output[Sequence[str]]
    pairwise: Output[bool]
    presharedKey: Output[str]
    createdAt: Output[str]

    def __init__(
        self,
        name: str,
        *,
        interface: str,
        owners: Sequence[str],
        rotation: str,
        pairwise: bool = False,
        post_quantum: bool = False,
        adopted: Input[str] = "",
        max_key_age: int = 0,
        renamed: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Make the key, or adopt one that exists; `renamed` owners, by their former names, have not left.

        With `pairwise` it stays in the state, and each pair gets a key that is derived from it. With `post_quantum` it
        is none that may have gone to a host by another key exchange.
        """
        props = {
            "interface": interface,
            **({"renamed": renamed} if renamed else {}),
            **({"postQuantum": True} if post_quantum else {}),
            "owners": sorted(owners),
            "pairwise": pairwise,
            "rotation": rotation,
            "adopted": Output.secret(adopted) if adopted else "",
            "maxKeyAge": max_key_age,
            **dict.fromkeys(("presharedKey", "createdAt", "knownTo", "kept")),
        }
        super().__init__(PresharedKeyProvider(), name, props, _with_secrets(opts, "presharedKey", "kept", "adopted"))


class SurveyResource(Resource, module="mesh", name="Survey"):
    """How many installations of each host have been enrolled; a host that is not counted is in its first."""

    installations: Output[Mapping[str, float]]

    def __init__(self, name: str, *, interface: str, opts: ResourceOptions | None = None) -> None:
        """Ask the hosts of `interface`, in a refresh only."""
        super().__init__(SurveyProvider(), name, {"interface": interface, "installations": None}, opts)


class RosterResource(Resource, module="mesh", name="Roster"):
    """The public data of all members; its diff is what a reviewer reads, its deletion wipes the hosts."""

    roster: Output[Mapping[str, Any]]
    rosterId: Output[str]
    leavers: Output[Mapping[str, Any]]
    revision: Output[str]

    def __init__(
        self,
        name: str,
        *,
        mesh: Input[str],
        roster: Mapping[str, Any],
        renamed: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Record the members; `renamed` ones, by their former names, are told as what they are."""
        props = {
            "mesh": mesh,
            "roster": roster,
            **({"renamed": renamed} if renamed else {}),
            **dict.fromkeys(("rosterId", "leavers", "revision")),
        }
        super().__init__(RosterProvider(), name, props, opts)


class RolloutResource(Resource, module="mesh", name="Rollout"):
    """All hosts brought to the roster as one verified transaction; `digest` names the plan that they run."""

    digest: Output[str]
    roster: Output[Mapping[str, Any]]
    notWiped: Output[Sequence[str]]
    pending: Output[Sequence[str]]
    systems: Output[Mapping[str, Any]]

    def __init__(
        self,
        name: str,
        *,
        mesh: Input[str],
        roster: RosterResource,
        preshared_key: Input[str],
        owners: Input[Sequence[str]],
        pairwise: Input[bool],
        unenrolled: Awaitable[Collection[str]],
        absent: Sequence[str],
        adopted: Sequence[str] = (),
        renamed: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Roll the roster out, unless the preshared key is for other `owners` or pairs, or hosts are `unenrolled`.

        `absent` are the hosts that are not expected to answer in this run. The hosts in `adopted` may hand over an
        interface that runs the key they bring. `renamed` is that of the roster.
        """
        props = {
            "mesh": mesh,
            "roster": roster.roster,
            "rosterId": roster.rosterId,
            "leavers": roster.leavers,
            "revision": roster.revision,
            "presharedKey": Output.secret(preshared_key),
            "absent": absent,
            "owners": owners,
            "pairwise": pairwise,
            "unenrolled": unenrolled,
            "adopted": sorted(adopted),
            **({"renamed": renamed} if renamed else {}),
            **dict.fromkeys(("digest", "systems", "pending", "wiped", "notWiped", "drift")),
        }
        super().__init__(RolloutProvider(), name, props, _with_secrets(opts, "presharedKey"))
