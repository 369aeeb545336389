"""Peers whose endpoint is a name: what it resolves to, when the endpoint changes, and what resolves it regularly."""

import pytest

from tests.host_program import PARTS, HostProgram
from tests.unit.test_host_service import SNAPSHOT, WITH

INTERFACE = (PARTS / "wireguard/interface.sh").read_text()
NAME = "bernard.example.org:51825"
KEYS = {name: name[0].upper() * 43 + "=" for name in ("bernard", "carol")}
# A host whose plan seeks bernard at a name and carol at an address.
PLAN = f"""
{INTERFACE}
is_armed() {{ return 1; }}
is_due() {{ return 1; }}
mkdir -p "$home/run"
printf 'bernard {KEYS["bernard"]} fd00::1 {NAME} off fd00::/64 first\\n' >"$home/run/peers"
printf 'carol {KEYS["carol"]} fd00:1::1 [2001:db8::2]:51825 off fd00:1::/64 first\\n' >>"$home/run/peers"
printf 'preshared\\n' >"$home/run/preshared-key"
: >"$home/run/addresses"
"""


def answer(host: HostProgram, *addresses: str, status: int = 0) -> None:
    """Let the host's resolver give these addresses for every name, as `getent ahosts` prints them."""
    lines = "".join(f"{address} STREAM x\\n{address} DGRAM\\n" for address in addresses)
    host.stub("getent", f"printf '{lines}'; exit {status}")
    host.stub("ip", 'echo "$4 via 192.0.2.254 dev eth0 src 192.0.2.1"')


def kernel(host: HostProgram, endpoint: str, *, lives: bool = False) -> None:
    """Give WireGuard an endpoint of bernard; `lives` says whether anything comes from there once it is pinged."""
    state = host.directory / "endpoint"
    state.write_text(f"{endpoint}\n")
    pinged = host.directory / "pinged"
    pinged.unlink(missing_ok=True)
    host.stub("ping", f"touch {pinged}")
    host.stub("sleep")
    host.stub("flock")
    grows = f"[ ! -e {pinged} ] || received=20" if lives else ""
    key = KEYS["bernard"]
    host.stub(
        "wg",
        f"""received=10; {grows}
case "$2 $3" in
*endpoints) printf '%s\\t%s\\n' {key} "$(cat {state})" {KEYS["carol"]} '[2001:db8::2]:51825' ;;
*transfer) printf '%s\\t%s\\t5\\n' {key} $received ;;
*dump) printf 'own\\tpublic\\t1\\toff\\n'
  printf '%s\\tpreshared\\t%s\\tfd00::/64\\t0\\t0\\t0\\toff\\n' {key} "$(cat {state})"
  printf '%s\\tpreshared\\t[2001:db8::2]:51825\\tfd00:1::/64\\t0\\t0\\t0\\toff\\n' {KEYS["carol"]} ;;
"testwg peer") echo "$6" >{state} ;;
esac""",
    )


def endpoint(host: HostProgram) -> str:
    """Return the endpoint of bernard in WireGuard now."""
    return (host.directory / "endpoint").read_text().strip()


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        (["198.51.100.7"], "198.51.100.7:51825"),
        (["2001:db8::7", "198.51.100.7"], "[2001:db8::7]:51825"),
        (["127.0.1.1", "0.0.0.1", "::1", "fe80::1", "169.254.1.1", "224.0.0.1", "198.51.100.7"], "198.51.100.7:51825"),
        (["127.0.0.1"], ""),
        ([], ""),
    ],
)
def test_a_name_resolves_to_its_first_address_that_could_be_a_peers(
    host: HostProgram, addresses: list[str], found: str
) -> None:
    """A resolver that blocks names says 0.0.0.0 or the like, and /etc/hosts may say 127.0.1.1."""
    answer(host, *addresses)
    assert host.run(f"{PLAN} look_up run {NAME}").stdout.strip() == found


def test_a_host_takes_an_address_of_its_own_ip_version_and_keeps_the_one_it_has(host: HostProgram) -> None:
    """Many resolvers change the order with every answer."""
    answer(host, "2001:db8::7", "198.51.100.8", "198.51.100.7")
    prefers = "echo 'prefers 4' >$home/run/settings"
    kept = f"echo '{NAME} 198.51.100.7:51825' >$home/run/addresses"
    ended = host.run(
        f"{PLAN} {prefers}; look_up run {NAME}; {kept}; look_up run {NAME}; rm $home/run/settings; look_up run {NAME}"
    )
    assert ended.stdout.split() == ["198.51.100.8:51825", "198.51.100.7:51825", "198.51.100.7:51825"]


def test_an_address_inside_the_tunnel_is_none(host: HostProgram) -> None:
    """A tunnel cannot carry itself."""
    answer(host, "fd00::1", "198.51.100.7")
    host.stub("ip", 'case $4 in fd00*) echo "$4 dev testwg" ;; *) echo "$4 dev eth0" ;; esac')
    assert host.run(f"{PLAN} look_up run {NAME}").stdout == "198.51.100.7:51825\n"


def test_where_the_tunnel_is_the_default_route_a_name_resolves_to_an_address_outside_all_the_same(
    host: HostProgram,
) -> None:
    """WireGuard's own packets take the host's own routes there, and are told from the others by their port."""
    answer(host, "198.51.100.7")
    host.stub("ip", 'case "$*" in *"ipproto udp sport 51825") echo "$4 dev eth0" ;; *) echo "$4 dev testwg" ;; esac')
    plan = f"{PLAN} echo port 51825 >>$home/run/settings; : >$home/exit;"
    assert host.run(f"{plan} look_up run {NAME}").stdout == "198.51.100.7:51825\n"


@pytest.mark.parametrize(
    "printed",
    [
        "PING x (198.51.100.7) 56(84) bytes of data.",
        "PING x (198.51.100.7): 56 data bytes",
        "PING x(y.example.org (2001:db8::7)) 56 data bytes",
    ],
)
def test_ping_is_asked_where_getent_cannot_be(host: HostProgram, printed: str) -> None:
    """Not where getent says that there is no such name: the answer would be the same, and come twice as late."""
    answer(host, status=127)
    host.stub("ping", f"echo '{printed}'; exit 1")
    address = "2001:db8::7" if "2001" in printed else "198.51.100.7"
    assert host.run(f"{PLAN} answers x").stdout == f"{address}\n"
    answer(host, status=2)
    assert host.run(f"{PLAN} answers x").stdout == ""


def test_what_a_name_led_to_serves_while_no_answer_comes(host: HostProgram) -> None:
    """It is forgotten with the name, and nothing is written while nothing changes."""
    answer(host)
    laid = f"printf '{NAME} 198.51.100.7:51825\\nold.example.org:1 1.2.3.4:1\\n' >$home/run/addresses"
    again = 'remember run "$(look_up_all run)"'
    ended = host.run(
        f"{PLAN} {laid}; {again}; cat $home/run/addresses; chmod 400 $home/run/addresses; {again}; ls -l $home/run"
    )
    assert ended.stdout.splitlines()[0] == f"{NAME} 198.51.100.7:51825"
    assert "1.2.3.4" not in ended.stdout
    # A file that is written again has its usual mode.
    assert "-r--------" in ended.stdout


@pytest.mark.parametrize(
    ("now", "lives", "then"),
    [
        ("198.51.100.7:51825", False, "198.51.100.7:51825"),
        ("203.0.113.1:51825", False, "198.51.100.7:51825"),
        ("203.0.113.1:51825", True, "203.0.113.1:51825"),
        ("198.51.100.7:4444", True, "198.51.100.7:4444"),
        ("(none)", False, "198.51.100.7:51825"),
    ],
    ids=["where the name leads", "dead", "roamed", "another port", "after a boot"],
)
@pytest.mark.parametrize("order", ["seek run", "resolve"])
def test_a_peer_is_tried_where_its_name_resolves_to_unless_it_answers_elsewhere(
    host: HostProgram, order: str, now: str, lives: bool, then: str
) -> None:
    """What counts is whether anything comes from it, so a tunnel that lives is never touched."""
    answer(host, "198.51.100.7")
    kernel(host, now, lives=lives)
    host.run(f"{PLAN} {order}")
    assert endpoint(host) == then


def test_a_peer_that_moved_meanwhile_is_left_alone(host: HostProgram) -> None:
    """It has been heard of from elsewhere while it was asked."""
    answer(host, "198.51.100.7")
    kernel(host, "203.0.113.1:51825")
    state = host.directory / "endpoint"
    host.stub("sleep", f"echo 192.0.2.9:1 >{state}")
    host.run(f"{PLAN} seek run")
    assert endpoint(host) == "192.0.2.9:1"


def test_a_rollout_has_precedence_over_the_timer(host: HostProgram) -> None:
    """It holds the lock, and resolves names itself."""
    answer(host, "198.51.100.7")
    kernel(host, "(none)")
    host.stub("flock", "exit 1")
    host.run(f"{PLAN} resolve")
    assert endpoint(host) == "(none)"


def test_a_host_without_names_asks_nobody(host: HostProgram) -> None:
    """Nor does one whose interface is not up."""
    answer(host, "198.51.100.7")
    kernel(host, "(none)")
    host.run(f"{PLAN} rm $home/run/addresses; seek run; resolve")
    assert [call for call in host.calls() if call.startswith("getent")] == []
    host.stub("wg", "exit 1")
    host.run(f"{PLAN} resolve")
    assert [call for call in host.calls() if call.startswith("getent")] == []


def test_the_file_that_boots_has_no_name(host: HostProgram) -> None:
    """wg-quick would bring nothing up where it does not resolve."""
    written = host.run(
        f"{PLAN} echo key >$home/run/private-key; echo 'mtu 1420' >$home/run/settings; render run"
    ).stdout
    assert "Endpoint = [2001:db8::2]:51825" in written
    assert "example.org" not in written
    assert written.count("Endpoint") == 1


@pytest.mark.parametrize(
    ("now", "was", "said"),
    [
        ("198.51.100.7:51825", "203.0.113.1:51825", ""),
        ("203.0.113.1:51825", NAME, ""),
        ("203.0.113.1:51825", "203.0.113.1:51825", "endpoint 198.51.100.7:51825"),
        ("(none)", NAME, "endpoint 198.51.100.7:51825"),
    ],
    ids=["there already", "a name as before", "a name instead of an address", "nowhere yet"],
)
def test_a_name_is_no_other_endpoint_each_time(host: HostProgram, now: str, was: str, said: str) -> None:
    """What the name resolves to is compared with the endpoint, and only a new name changes it."""
    kernel(host, now)
    lay = (
        "mkdir $home/next; cp $home/run/peers $home/run/preshared-key $home/next; "
        f"echo '{NAME} 198.51.100.7:51825' >$home/next/addresses; sed -i 's/{NAME}/{was}/' $home/run/peers; "
        "is_armed() { return 0; }"
    )
    assert host.run(f"{PLAN} {lay}; delta bernard").stdout.strip() == (f"peer {KEYS['bernard']} {said}" if said else "")


def test_a_name_that_never_resolved_here_stops_the_stage(host: HostProgram) -> None:
    """Not where its host is absent, and not where it led somewhere before."""
    answer(host)
    lay = f"{PLAN} mv $home/run $home/incoming;"
    failed = host.run(f"{lay} resolve_incoming", fails=True)
    assert failed.stderr == (
        "does not resolve here: bernard.example.org for bernard; correct the name in the stack file, or what this host "
        "asks for names\n"
    )
    host.run(f"rm -rf $home/incoming; {lay} resolve_incoming carol bernard")
    before = f"mkdir $home/run; echo '{NAME} 1.2.3.4:51825' >$home/run/addresses;"
    assert (
        "1.2.3.4" in host.run(f"rm -rf $home/*; {lay} {before} resolve_incoming; cat $home/incoming/addresses").stdout
    )


@pytest.mark.parametrize("init", WITH)
def test_the_timer_comes_with_the_first_name_and_goes_with_the_last(host: HostProgram, init: str) -> None:
    """What a host without names has is byte for byte what it had."""
    WITH[init](host)
    ended = host.run(
        f"{SNAPSHOT} {PLAN} snapshot; echo ====; timer_apply none; snapshot; echo ====; timer_apply run; "
        "timer_apply run; timer_is_well endpoints run; snapshot; echo ====; cp -r $base/testwg $base/other; "
        "interface=other; home=$base/other; "
        "timer_apply run; interface=testwg; home=$base/testwg; timer_apply none; snapshot; echo ====; "
        "interface=other; home=$base/other; timer_apply none; snapshot; echo ====; ls $(common)"
    )
    before, without, with_name, other, after, left = ended.stdout.split("====\n")
    assert before == without == after
    assert "mesh-endpoints" in with_name
    assert ("testwg" in other, "mesh-endpoints" in other) == (False, True)
    assert left == ""


def test_systemd_reads_units_again_only_where_it_must(host: HostProgram) -> None:
    """It reads new ones when they are first asked for; it has to be told of changed ones, and of what is gone."""
    WITH["systemd"](host)
    unit = "/etc/systemd/system/mesh-endpoints@.timer"
    host.run(f"{SNAPSHOT} {PLAN} timer_apply run; timer_apply run; [ -e {unit} ]")
    assert host.calls() == ["systemctl start mesh-endpoints@testwg.timer"] * 2
    host.run(f"{SNAPSHOT} {PLAN} timer_apply run; echo x >>{unit}; timer_apply run; timer_apply none")
    assert [call for call in host.calls() if "reload" in call] == ["systemctl daemon-reload"] * 2


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", "well"),
        ("rm /etc/systemd/system/timers.target.wants/mesh-endpoints@testwg.timer", "not"),
        ("ln -s /dev/null /etc/systemd/system/mesh-endpoints@testwg.timer", "not"),
        ("timer_runs() { return 1; }", "not"),
    ],
)
def test_a_timer_that_is_off_is_told(host: HostProgram, command: str, said: str) -> None:
    """Whether it runs now, and whether it would after the next boot; applying it again mends it."""
    WITH["systemd"](host)
    ask = "{ timer_is_well endpoints run && echo well || echo not; }"
    ended = host.run(
        f"{SNAPSHOT} {PLAN} timer_apply run; {command}; {ask}; timer_apply run; timer_runs() {{ :; }}; {ask}"
    )
    assert ended.stdout.split() == [said, "well"]
