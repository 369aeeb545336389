"""A preshared key for each pair."""

from itertools import combinations
from typing import Any

from tests.lab.gaps import total
from tests.lab.hosts import Host
from tests.lab.lab import Lab
from tests.lab.stack import Stack, wait_until
from tests.lab.traffic import Traffic


def _keys(host: Host) -> dict[str, str]:
    """Return the preshared key of a host's kernel by the peer's public key."""
    lines = host.run("wg show testwg preshared-keys").splitlines()
    return dict(line.split("\t") for line in lines)


def _by_pair(lab: Lab) -> dict[tuple[str, str], str]:
    """Return the preshared key of each pair, after a look that both ends have the same."""
    public = {name: host.run("wg show testwg public-key").strip() for name, host in lab.hosts.items()}
    found = {name: _keys(host) for name, host in lab.hosts.items()}
    for one, other in combinations(lab.hosts, 2):
        assert found[one][public[other]] == found[other][public[one]]
    return {(one, other): found[one][public[other]] for one, other in combinations(lab.hosts, 2)}


def _on_disk(host: Host, secret: str) -> bool:
    places = "/etc/wireguard /var/lib/mesh /run /root /tmp"
    return bool(host.run(f"grep -rlF -e '{secret}' {places} 2>/dev/null", check=False).strip())


def test_each_pair_has_a_key_of_its_own_and_the_way_there_and_back_loses_nothing(stack: Stack, lab: Lab) -> None:
    """No host holds the key of a pair that it is not in, nor the secret that all of them are derived from."""
    mesh: dict[str, Any] = {"hosts": list(lab.hosts), "port": 51825, "deadline": 20}
    stack.write({"testwg": mesh})
    stack.up()
    (shared,) = set(_by_pair(lab).values())
    with Traffic(list(lab.hosts.values()), "testwg", rate=20) as traffic, traffic.watch() as seen:
        stack.write({"testwg": mesh | {"presharedKeys": "pairwise"}})
        assert "~ preshared keys: one for each pair" in stack.run("preview").output
        stack.up()
        first = _by_pair(lab)
        stack.write({"testwg": mesh | {"presharedKeys": "pairwise", "rotation": 2}})
        stack.up()
    gaps = total(list(seen.gaps.values()))
    # How much is sent says how quick the machine is.
    assert set(seen.gaps) == set(stack.pairs("testwg"))
    assert gaps.lost <= 1
    # A handshake that crossed another would hold packets for five seconds, and lose none.
    assert gaps.stall < 1
    second = _by_pair(lab)
    assert len({shared, *first.values(), *second.values()}) == 1 + 2 * len(second)
    in_state = [outputs["presharedKey"] for outputs in stack.resources().values() if "presharedKey" in outputs]
    assert in_state
    for name, host in lab.hosts.items():
        for pair, secret in second.items():
            assert _on_disk(host, secret) == (name in pair)
        assert not any(_on_disk(host, old) for old in (shared, *first.values()))
        assert not any(_on_disk(host, secret) for secret in in_state)
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
    lab.hosts["carol"].reboot()
    wait_until(lambda: not stack.silent("testwg"), 90)
    assert _by_pair(lab) == second
    stack.write({"testwg": mesh})
    stack.up()
    assert len(set(_by_pair(lab).values())) == 1
