"""A mesh comes up from a stack file, proven, and is there again after every reboot."""

from concurrent.futures import ThreadPoolExecutor

from tests.lab.lab import Lab
from tests.lab.stack import Stack, wait_until

SEED = {"testwg": {"hosts": ["bernard", "edgeworth"], "port": 51825}}


def test_the_two_hosts_of_the_seed_become_its_mesh(stack: Stack, lab: Lab) -> None:
    """Addresses, prefixes and endpoints are the seed's, and packets go both ways though one host is behind NAT."""
    bernard, edgeworth = lab.hosts["bernard"], lab.hosts["edgeworth"]
    stack.write(SEED, {name: stack.describe(lab.hosts[name]) for name in ("bernard", "edgeworth")})
    stack.up()
    assert "fd00:1c86:78d4:dcef::1/64" in bernard.run("ip -6 -o address show dev testwg")
    assert "fd00:cac2:10cb:6ee9::1/64" in edgeworth.run("ip -6 -o address show dev testwg")
    assert bernard.run("wg show testwg allowed-ips").split()[1:] == ["fd00:cac2:10cb:6ee9::/64"]
    assert edgeworth.run("wg show testwg allowed-ips").split()[1:] == ["fd00:1c86:78d4:dcef::/64"]
    assert "Endpoint" not in bernard.run("cat /etc/wireguard/testwg.conf")
    assert "Endpoint = 203.0.113.1:51825" in edgeworth.run("cat /etc/wireguard/testwg.conf")
    assert bernard.run("wg show testwg listen-port").strip() == "51825"
    # What bernard learned is the outside of edgeworth's router, at whatever port that chose.
    assert bernard.run("wg show testwg endpoints").split()[1].startswith("203.0.113.4:")
    for host in (bernard, edgeworth):
        assert int(host.run("wg show testwg latest-handshakes").split()[1]) > 0
    assert stack.silent("testwg") == []


def test_two_meshes_are_verified_at_once_and_survive_every_reboot(stack: Stack, lab: Lab) -> None:
    """Two interfaces on four hosts; a second run changes nothing; one host or all reboot, and nobody has to help."""
    everybody = list(lab.hosts)
    stack.write({
        "testwg": {"hosts": everybody, "port": 51825},
        "backwg": {"hosts": everybody[:3], "port": 51826, "mtu": 1380},
    })  # fmt: skip
    stack.up()
    assert stack.silent("testwg") == stack.silent("backwg") == []
    assert set(stack.running_keys("testwg").values()).isdisjoint(stack.running_keys("backwg").values())
    # "--expect-no-changes" makes any change a failure.
    stack.up("--expect-no-changes")
    lab.hosts["bernard"].reboot()
    wait_until(lambda: not stack.silent("testwg") and not stack.silent("backwg"), 60)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda host: host.reboot(), lab.hosts.values()))
    wait_until(lambda: not stack.silent("testwg") and not stack.silent("backwg"), 90)
    stack.up("--refresh", "--expect-no-changes")


def test_a_new_interface_is_what_wg_quick_makes_of_its_file(stack: Stack, lab: Lab) -> None:
    """Its peers and routes are set beside wg-quick, which starts the service without any; a restart changes nothing."""
    numbers = {name: {"ipv4": f"10.20.0.{number}"} for number, name in enumerate(lab.hosts, 1)}
    numbers["carol"]["routes"] = ["192.168.10.0/24", "2001:db8:5::/64"]  # type: ignore[assignment]
    mesh = {"hosts": list(lab.hosts), "port": 51825, "mtu": 1380, "ipv4": "10.20.0.0/24", "members": numbers}
    stack.write({"testwg": {**mesh, "exitNode": "bernard"}})
    stack.up()
    look = "; ".join((
        "wg show testwg dump | awk '{ print $1, $2, $4, $8 }' | sort",
        "ip -o address show dev testwg scope global | sed 's/^[0-9]*: //'",
        "for v in -4 -6; do ip $v route show dev testwg; ip $v rule; ip $v route show table 5182; done",
        "cat /sys/class/net/testwg/mtu",
        "systemctl is-active wg-quick@testwg",
    ))  # fmt: skip
    for host in lab.hosts.values():
        before = host.run(look)
        # Of this start alone: another test may have left words of its own in the journal.
        start = host.run("systemctl show --value --property InvocationID wg-quick@testwg").strip()
        said = host.run(f"journalctl -q -o cat _SYSTEMD_INVOCATION_ID={start}")
        assert "ip link set" in said
        assert "route add" not in said
        host.run("systemctl restart wg-quick@testwg")
        assert host.run(look) == before
    wait_until(lambda: not stack.silent("testwg"), 60)
