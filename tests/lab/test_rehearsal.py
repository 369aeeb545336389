"""A rehearsal, by which most tests here drive their mesh, does what the engine does."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mesh.rollout.pending_work import plan_digest
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from tests.lab.keeping import nothing_is_repaired
from tests.lab.lab import Lab
from tests.lab.rehearsed import RehearsedStack
from tests.lab.stack import Stack

_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")
# What is drawn, and what names a checkout.
_ALWAYS_OTHERS = {
    *("mesh", "rosterId", "digest", "revision", "departure", "createdAt"),
    *("__provider", "installations", "systems"),
}


def _named(text: str, stack: Stack) -> str:
    """Return a text with the names of keys in their place, since new keys are others each time."""
    names: dict[str, str] = {}
    for resource, outputs in stack.resources().items():
        names |= {outputs[what]: f"<{resource} {what}>" for what in ("privateKey", "publicKey") if what in outputs}
        names |= {outputs["presharedKey"]: "<preshared key>"} if resource.endswith("/preshared-key") else {}
    return _KEY.sub(lambda found: names.get(found[0], "<a key that no resource has>"), text)


def _files(stack: Stack) -> dict[str, str]:
    """Return what every host boots, runs and keeps."""
    command = (
        "tail -n +2 /etc/wireguard/testwg.conf; cat /sys/class/net/testwg/mtu; "
        "ip -o -6 address show dev testwg scope global | tr -s ' ' | cut -d ' ' -f 4; "
        "ls -R /var/lib/mesh | grep -v program-"
    )
    running = "wg showconf testwg | grep -v ^Endpoint"
    files = {}
    for name, host in stack.lab.hosts.items():
        # A kernel lists peers in an order of its own, so lines are sorted, by the names that stand for keys.
        lines = sorted(_named(host.run(running, check=False), stack).splitlines())
        files[name] = "\n".join([_named(host.run(command, check=False), stack), *lines])
    return files


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if name not in _ALWAYS_OTHERS and item is not None}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _outcome(stack: Stack) -> tuple[list[Any], dict[str, str]]:
    """Return what the state says of the mesh, and what the hosts have."""
    resources = {name: outputs for name, outputs in stack.resources().items() if "/" in name}
    rollout = resources["testwg/rollout"]
    assert rollout["digest"] == plan_digest(rollout)
    known = {name: _plain(out) for name, out in resources.items() if name.endswith(("/rollout", "/roster"))}
    # Each departure has a mark of its own.
    known["testwg/rollout"]["wiped"] = [name.split()[0] for name in known["testwg/rollout"]["wiped"]]
    return json.loads(_named(json.dumps([known, sorted(resources)]), stack)), _files(stack)


def _life(stack: Stack, adopted: Mapping[str, str]) -> Iterator[Any]:
    """Take a mesh through every verb, and yield what came of each."""
    lab = stack.lab
    mesh: dict[str, Any] = {"hosts": list(lab.hosts), "port": 51825, "deadline": 20}
    stack.write({"testwg": mesh}, adopted=adopted)
    yield stack.run("preview").code
    assert all(host.run("ls -d /var/lib/mesh", check=False) == "" for host in lab.hosts.values())
    stack.up()
    yield _outcome(stack)
    yield stack.up("--expect-no-changes").code
    yield stack.run("preview", "--refresh", "--expect-no-changes").code
    nothing_is_repaired(lab.hosts["carol"])
    lab.hosts["carol"].run("ip link set testwg mtu 1300")
    alarm = stack.run("preview", "--refresh", "--expect-no-changes", succeeds=False)
    # The engine says it behind the name of a resource.
    yield alarm.code, re.findall("carol: has MTU.*", alarm.output)[:1]
    stack.run("refresh")
    yield stack.resources()["testwg/rollout"]["drift"]
    stack.up()
    yield _outcome(stack)
    stay = [name for name in lab.hosts if name != "dora"]
    adopted = {name: key for name, key in adopted.items() if name != "testwg/dora"}
    stack.write(
        {"testwg": {**mesh, "hosts": stay, "mtu": 1400, "members": {"carol": {"rotation": 2}}}}, adopted=adopted
    )
    stack.run("preview")
    stack.up()
    yield _outcome(stack)
    lab.network.block_udp(1, 2, 51825)
    try:
        stack.write({"testwg": {**mesh, "hosts": stay, "rotation": 3}}, adopted=adopted)
        said = stack.fail()
    finally:
        lab.network.unblock()
    yield stack.running_keys("testwg").keys(), "testwg: not verified; every host rolls back" in said
    yield len(set(stack.running_public_keys("testwg").values()) & set(stack.public_keys().values()))
    stack.up()
    yield _outcome(stack)
    stack.destroy()
    yield [host.run("ls -d /var/lib/mesh /etc/wireguard/*", check=False) for host in lab.hosts.values()]
    yield [name for name in stack.resources() if "/" in name]


def test_every_verb_has_the_same_outcome_by_the_engine_and_in_a_rehearsal(
    stack: Stack, engine_stack: Stack, lab: Lab
) -> None:
    """States, files, kernels and alarms, from the first preview to the end; the first keys are the same ones."""
    adopted = {f"testwg/{name}": generate_key_pair().private_key for name in lab.hosts}
    adopted["testwg"] = generate_preshared_key()
    by_engine = list(_life(engine_stack, adopted))
    assert list(_life(stack, adopted)) == by_engine


def test_a_rehearsal_goes_on_from_the_state_of_the_engine(stack: Stack, engine_stack: Stack, lab: Lab) -> None:
    """It finds nothing to do where the engine would not, and knows every resource by its URN."""
    assert isinstance(stack, RehearsedStack)
    mesh = {"hosts": list(lab.hosts), "port": 51825, "names": True}
    engine_stack.write({"testwg": mesh})
    engine_stack.up()
    stack.take_over(engine_stack)
    stack.up("--expect-no-changes")
    stack.run("preview", "--refresh", "--expect-no-changes")
    stack.destroy()
    assert [host.run("ls -d /var/lib/mesh", check=False) for host in lab.hosts.values()] == [""] * len(lab.hosts)
