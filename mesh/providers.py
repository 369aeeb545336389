"""The dynamic providers: thin, stateless, and a stored format.

The state of every user names this module and these classes, so neither is ever moved or renamed. The engine loads them
in a process of its own, with secrets in clear; what they decide is in `keyring`, `plan.roster` and `rollout`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from pulumi.dynamic import (
    Config,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from mesh.process import set_up_process

__all__ = ["KeyPairProvider", "PresharedKeyProvider", "RolloutProvider", "RosterProvider", "SurveyProvider"]

Properties = dict[str, Any]
State = TypeVar("State")

# Both processes of a run that have keys import this module: the program's, and the one that serves the resources.
set_up_process()


def _stored(read: Callable[..., State], *outputs: Any) -> State:
    """Return what the state says of a resource; what cannot be read is an error of one line."""
    from mesh.rollout.provider_process import errors_are_one_line  # noqa: PLC0415

    with errors_are_one_line():
        return read(*outputs)


class KeyPairProvider(ResourceProvider):
    """An X25519 key pair of one host on one interface."""

    serialize_as_secret_always = False

    def create(self, props: Properties) -> CreateResult:
        """Make or adopt the key."""
        from mesh.keyring import history  # noqa: PLC0415

        return CreateResult(f"{props['interface']}/{props['host']}", dict(history.new_key_pair(props)))

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Change only for a rotation, an expiry or an adoption; say why, and when an expiry is near."""
        from mesh.keyring import history  # noqa: PLC0415
        from mesh.keyring.explain import explain_key_pair  # noqa: PLC0415
        from mesh.progress import announce  # noqa: PLC0415
        from mesh.stored.reader import read_key_pair  # noqa: PLC0415

        old = _stored(read_key_pair, _id, _olds)
        announce(_news["interface"], explain_key_pair(old, _news))
        return DiffResult(changes=history.key_pair_changes(old, _news))

    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Rotate, bring an earlier key back, or adopt."""
        from mesh.keyring import history  # noqa: PLC0415
        from mesh.stored.reader import read_key_pair  # noqa: PLC0415

        return UpdateResult(dict(history.changed_key_pair(_stored(read_key_pair, _id, _olds), _news)))


class PresharedKeyProvider(ResourceProvider):
    """The preshared key of one mesh."""

    serialize_as_secret_always = False

    def create(self, props: Properties) -> CreateResult:
        """Make or adopt the key."""
        from mesh.keyring import history  # noqa: PLC0415

        return CreateResult(props["interface"], dict(history.new_preshared_key(props)))

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Change when owners, rotation or adoption do, or at its expiry; say why, and when that is near."""
        from mesh.keyring import history  # noqa: PLC0415
        from mesh.keyring.explain import explain_preshared_key  # noqa: PLC0415
        from mesh.progress import announce  # noqa: PLC0415
        from mesh.stored.reader import read_preshared_key  # noqa: PLC0415

        old = _stored(read_preshared_key, _id, _olds)
        announce(_news["interface"], explain_preshared_key(old, _news))
        return DiffResult(changes=history.preshared_key_changes(old, _news))

    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Keep the key, regenerate it, or bring an earlier one back."""
        from mesh.keyring import history  # noqa: PLC0415
        from mesh.stored.reader import read_preshared_key  # noqa: PLC0415

        return UpdateResult(dict(history.changed_preshared_key(_stored(read_preshared_key, _id, _olds), _news)))


class _ToldProvider(ResourceProvider):
    """A provider that needs more than the state in a refresh: what the stack file says."""

    _config: Config

    def configure(self, req: ConfigureRequest) -> None:
        """Keep the stack file's values."""
        self._config = req.config

    def _is_described(self, interface: str) -> bool:
        """Tell whether the stack file describes the mesh, and so commands and a refresh can tell what it asks for."""
        from mesh.rollout.provider_process import read_section  # noqa: PLC0415

        return interface in (read_section(self._config.get("mesh:interfaces")) or {})


class SurveyProvider(_ToldProvider):
    """Which installation of each host of one mesh this is; only a refresh asks the hosts.

    Its state never changes but then, so it lacks hosts that joined later, and the stack file has them.
    """

    serialize_as_secret_always = False

    def create(self, props: Properties) -> CreateResult:
        """Count nothing yet."""
        return CreateResult(props["interface"], {**props, "installations": {}})

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Never change: in a preview, a change would make the counts unknown, and with them every enrolment."""
        return DiffResult(changes=False)

    def read(self, id_: str, props: Properties) -> ReadResult:
        """Raise the count of each host that lost its private key."""
        from mesh.rollout import reinstall_check  # noqa: PLC0415
        from mesh.rollout.provider_process import errors_are_one_line, read_section  # noqa: PLC0415
        from mesh.stored.reader import read_survey_state  # noqa: PLC0415

        # A program of the user's own has no such values, so nothing says how to reach hosts before their enrolment.
        hosts, file, interfaces = (self._config.get(f"mesh:{name}") for name in ("hosts", "hostsFile", "interfaces"))
        with errors_are_one_line():
            known = read_survey_state(id_, props)["installations"]
            sections = read_section(hosts), file, read_section(interfaces)
            counts = reinstall_check.count_installations(id_, known, *sections)
        return ReadResult(id_, {**props, "installations": counts})


class RosterProvider(ResourceProvider):
    """The public data of all members; its deletion disbands the mesh."""

    serialize_as_secret_always = False

    def create(self, props: Properties) -> CreateResult:
        """Record the members."""
        import secrets  # noqa: PLC0415

        from mesh.plan.roster import check_complete  # noqa: PLC0415
        from mesh.rollout.provider_process import errors_are_one_line, import_ahead  # noqa: PLC0415

        with errors_are_one_line():
            check_complete(props["roster"], props.get("mesh"))
        import_ahead()
        roster_id = secrets.token_hex(8)
        told = {"mesh": props["mesh"], "roster": props["roster"], "rosterId": roster_id, "leavers": {}, "revision": ""}
        return CreateResult(roster_id, told)

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Say the change in words of the mesh, in `preview` too."""
        from mesh.plan.roster import check_complete, is_roster  # noqa: PLC0415
        from mesh.progress import announce  # noqa: PLC0415
        from mesh.rollout.provider_process import errors_are_one_line  # noqa: PLC0415
        from mesh.rollout.told_changes import tell_roster_change  # noqa: PLC0415
        from mesh.stored.reader import read_roster  # noqa: PLC0415

        if not is_roster(_news["roster"]):
            # Asked by `destroy --target`, of what it takes away.
            return DiffResult(changes=True)
        with errors_are_one_line():
            check_complete(_news["roster"], _news["mesh"])
        old = _stored(read_roster, _olds)
        changes = old["roster"] != _news["roster"] or old["mesh"] != _news["mesh"]
        if changes:
            lines = tell_roster_change(old["roster"], _news["roster"], _news.get("renamed"))
            announce(_news["roster"]["interface"], lines)
        return DiffResult(changes=changes)

    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Record the members, and the hosts that have left and may still have to be wiped."""
        from mesh.rollout.pending_work import changed_roster  # noqa: PLC0415
        from mesh.rollout.provider_process import import_ahead  # noqa: PLC0415
        from mesh.stored.reader import read_roster  # noqa: PLC0415

        import_ahead()
        changed = changed_roster(_stored(read_roster, _olds), _news)
        return UpdateResult({"mesh": _news["mesh"], "roster": _news["roster"], "rosterId": _id, **changed})

    def delete(self, _id: str, _props: Properties) -> None:
        """Wipe every host that still belongs to this roster; one that does not answer is named, and is not wiped."""
        from mesh.rollout.provider_process import errors_are_one_line  # noqa: PLC0415
        from mesh.rollout.wipe import disband  # noqa: PLC0415
        from mesh.stored.reader import read_roster  # noqa: PLC0415

        with errors_are_one_line():
            disband(read_roster(_props), _id)


class RolloutProvider(_ToldProvider):
    """All hosts of one mesh, brought to the roster as one transaction."""

    serialize_as_secret_always = False

    def create(self, props: Properties) -> CreateResult:
        """Bring up the mesh."""
        from mesh.rollout import apply  # noqa: PLC0415
        from mesh.rollout.provider_process import errors_are_one_line  # noqa: PLC0415
        from mesh.stored.forms import NO_ROLLOUT  # noqa: PLC0415
        from mesh.stored.reader import complete_rollout_inputs  # noqa: PLC0415

        with errors_are_one_line():
            outcome = apply.deploy(complete_rollout_inputs(props), NO_ROLLOUT)
            return CreateResult(outcome["roster"]["interface"], dict(outcome))

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Change when the plan, a key or an SSH address does, when a host is still to be wiped, or has drifted."""
        from mesh.progress import announce  # noqa: PLC0415
        from mesh.rollout.pending_work import differs  # noqa: PLC0415
        from mesh.rollout.told_changes import tell_unfinished  # noqa: PLC0415
        from mesh.stored.reader import complete_rollout_inputs, read_rollout  # noqa: PLC0415

        old, new = _stored(read_rollout, _id, _olds), complete_rollout_inputs(_news)
        announce(old["roster"]["interface"], tell_unfinished(old, new, described=self._is_described(_id)))
        return DiffResult(changes=differs(old, new))

    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Change the mesh, then wipe the hosts that have left."""
        from mesh.rollout import apply  # noqa: PLC0415
        from mesh.rollout.departures import remember_wiped  # noqa: PLC0415
        from mesh.rollout.provider_process import errors_are_one_line  # noqa: PLC0415
        from mesh.stored.reader import complete_rollout_inputs, read_rollout  # noqa: PLC0415

        # Where the roster is replaced, the one before ends after this.
        remember_wiped(_olds)
        with errors_are_one_line():
            return UpdateResult(dict(apply.deploy(complete_rollout_inputs(_news), read_rollout(_id, _olds))))

    def delete(self, _id: str, _props: Properties) -> None:
        """Change no host, which is for the roster's end; that is told who was wiped already."""
        from mesh.rollout.departures import remember_wiped  # noqa: PLC0415

        remember_wiped(_props)

    def read(self, id_: str, props: Properties) -> ReadResult:
        """Compare the live kernels with the state; a host that does not answer is reported, not an error."""
        from mesh.rollout import apply  # noqa: PLC0415
        from mesh.rollout.provider_process import errors_are_one_line  # noqa: PLC0415
        from mesh.stored.reader import read_rollout  # noqa: PLC0415

        with errors_are_one_line():
            drift = apply.find_drift(read_rollout(id_, props), surveyed=self._is_described(id_))
        return ReadResult(id_, {**props, "drift": drift})
