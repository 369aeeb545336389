"""Lost state is rebuilt from the keys that hosts run, and nothing on the wire changes."""

from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import pytest

from tests.documents import shell_of
from tests.lab.lab import Lab
from tests.lab.loss import Loss, pinging
from tests.lab.stack import Stack
from tests.lab.typed import TypedStack

_PORT = 51825
_PAGE = shell_of("docs/tasks/lost-state.md", "Lost state")


@pytest.fixture
def stack(office: TypedStack) -> TypedStack:
    """Return a stack of the engine: `python -m mesh adopt` puts secrets into its stack file."""
    office.type_in("pulumi stack init office\n")
    return office


def _tunnels(lab: Lab) -> dict[str, str]:
    """Return what each host runs and boots, but for what moves by itself and the name of the stack."""
    script = (
        "ip -o link show testwg | cut -d : -f 1; ip -6 -o address show dev testwg; ip -6 route show dev testwg; "
        "wg showconf testwg | grep -v ^Endpoint | sort; sed 1d /etc/wireguard/testwg.conf; "
        "systemctl is-enabled wg-quick@testwg"
    )
    return {name: host.run(script) for name, host in lab.hosts.items()}


def test_lost_state_is_rebuilt_by_what_the_page_says(
    stack: TypedStack, lab: Lab, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The same keys on every host, no ping lost, and a further up has nothing to do.

    The old state, found again, has no say any more: two stacks never fight over one interface.
    """
    mesh = {"hosts": list(lab.hosts), "port": _PORT, "peers": {"phone": {}}}
    stack.write({"testwg": mesh})
    stack.up()
    before, keys = _tunnels(lab), stack.running_keys("testwg")
    hosts = set(stack.running_public_keys("testwg").values())
    [phone] = set(lab.hosts["carol"].run("wg show testwg peers").split()) - hosts
    # Its private key is on no host, so it stays as it is by its public one.
    adopted = {**mesh, "peers": {"phone": {"publicKey": phone}}}
    old = tmp_path / "old-state"
    lost: dict[tuple[str, str], Loss] = {}
    with pinging(stack, "testwg", list(lab.hosts), lost):
        stack.swap_state(old)
        # Without the keys it would be another mesh.
        assert "belongs to another stack" in stack.fail()
        stack.run("destroy")
        assert _tunnels(lab) == before
        stack.write({"testwg": adopted})
        stack.lose_state()
        output = stack.type_in(_PAGE)
    assert "Adopt these keys?" in output
    assert _tunnels(lab) == before
    record_property(
        "loss",
        f"adopting after lost state: {sum(loss.lost for loss in lost.values())} of "
        f"{sum(loss.sent for loss in lost.values())}, longest silence "
        f"{max(loss.gap for loss in lost.values()) * 1000:.0f} ms",
    )
    assert {pair: loss.lost for pair, loss in lost.items() if loss.lost} == {}
    assert "mesh:adopted" not in stack.file.read_text()
    stack.up("--expect-no-changes")
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0

    held = {*keys.values(), lab.hosts["carol"].run("wg show testwg preshared-keys | cut -f 2 | sort -u").strip()}
    assert {key for key in held if key in output + stack.file.read_text()} == set()

    stack.swap_state(old)
    stack.write({"testwg": {**mesh, "mtu": 1400}})
    assert "belongs to another stack" in stack.fail()
    stack.destroy()
    assert _tunnels(lab) == before
    stack.swap_state(old)
    stack.write({"testwg": adopted})
    stack.up("--expect-no-changes")

    # The passphrase is lost too, so what it encrypts cannot be read.
    stack.lose_state()
    stack.environment["PULUMI_CONFIG_PASSPHRASE"] = token_hex()
    lines = stack.file.read_text().splitlines(keepends=True)
    stack.file.write_text("".join(line for line in lines if not line.startswith("encryptionsalt:")))
    stack.type_in(_PAGE)
    assert _tunnels(lab) == before
    stack.up("--expect-no-changes")


def test_a_host_that_cannot_be_asked_stops_the_adoption(stack: Stack, lab: Lab) -> None:
    """Its key would be replaced otherwise; the message names it, and the stack file stays as it was."""
    stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT}})
    stack.up()
    described = {name: stack.describe(host) for name, host in lab.hosts.items()}
    described["dora"]["ssh"]["port"] = 2222
    stack.write({"testwg": {"hosts": list(lab.hosts), "port": _PORT}}, described)
    before = stack.file.read_text()
    output = stack.companion("adopt", str(stack.file), "--yes", succeeds=False).output
    assert "testwg: nothing was adopted, since not every host could be asked" in output
    assert "host 'dora': cannot be reached" in output
    assert stack.file.read_text() == before
    narrowed = ("--interface", "testwg", "--host", "carol")
    assert "carol" in stack.companion("adopt", str(stack.file), "--yes", *narrowed).output
