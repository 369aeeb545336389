"""How many processes a host starts in each order: most of what an order costs there, and the same for any machine."""

import pytest

from tests.host_program import PARTS, HostProgram

PROGRAM = "".join(
    (PARTS / f"{part}.sh").read_text()
    for part in ("wireguard/interface", "wireguard/endpoints", "core/transaction", "core/switch", "core/verify")
)
COUNT = "/bin/sh -c 'echo $$'"


def key(number: int) -> str:
    """Return what looks like the key of a peer."""
    return f"{number:043d}="


def lay(host: HostProgram, peers: int) -> None:
    """Let the host run an interface with so many peers, of which the first gets another key."""
    lines = dict.fromkeys(("run", "next"), "")
    shown = {"dump": "private\\tpublic\\t51825\\toff\\n", "endpoints": "", "peers": "", "latest-handshakes": ""}
    for number in range(peers):
        where, address = f"203.0.113.{number}:51825", f"fd00:{number}::"
        for place, shift in (("run", 0), ("next", 1000 if number == 0 else 0)):
            lines[place] += f"p{number} {key(number + shift)} {address}1 {where} off {address}/64 first\n"
        shown["dump"] += f"{key(number)}\\tsecret\\t{where}\\t{address}/64\\t0\\t0\\t0\\toff\\n"
        shown["endpoints"] += f"{key(number)}\\t{where}\\n"
        shown["peers"] += f"{key(number)}\\n"
        shown["latest-handshakes"] += f"{key(number)}\\t99\\n"
    for place, text in lines.items():
        (host.home / place).mkdir(parents=True, exist_ok=True)
        (host.home / place / "peers").write_text(text)
        (host.home / place / "settings").write_text("mtu 1420\nport 51825\n")
        (host.home / place / "preshared-key").write_text("secret\n")
    (host.home / "previous").mkdir(exist_ok=True)
    cases = "".join(f"{name}) printf '{text}' ;;\n" for name, text in shown.items())
    host.stub("wg", f"case ${{3:-}} in\nlisten-port) echo 51825 ;;\n{cases}esac")
    host.stub("ping")
    host.stub("ip")


def processes(host: HostProgram, order: str) -> int:
    """Return how many processes an order starts."""
    header = f"{PROGRAM}\nplanned() {{ echo next; }}\nready=$home/previous/ready\nis_up() {{ return 0; }}"

    def last(order: str) -> int:
        return int(host.run(f"{header}\n{order} >/dev/null\n{COUNT}", counted=True).stdout.split()[-1])

    return last(order) - last(":")


@pytest.mark.parametrize(
    ("order", "most"),
    [
        ("order_preshared p0", 4),
        ("order_ready p0", 4),
        ("order_ready p0; order_peer p0", 6),
        ("order_own", 13),
        ("order_ready", 16),
        ("order_prove second", 4),
        ("order_facts salt", 17),
    ],
)
def test_an_order_starts_few_processes_whatever_the_number_of_peers(host: HostProgram, order: str, most: int) -> None:
    """All hosts do it at the same moment, and while a key changes packets wait for it."""
    lay(host, 3)
    assert 0 < processes(host, order) <= most
    lay(host, 30)
    assert processes(host, order) <= most


def test_a_peer_that_answers_takes_two_processes_to_verify(host: HostProgram) -> None:
    """A ping, and the one that waits for it."""
    lay(host, 3)
    few = processes(host, "order_prove first")
    lay(host, 30)
    assert processes(host, "order_prove first") - few <= 2 * 27


def test_an_order_that_would_change_nothing_waits_for_no_lock_and_moves_no_deadline(host: HostProgram) -> None:
    """A key that changes leaves port, names, and what is forwarded as they are."""
    lay(host, 3)
    host.etc("hosts", "127.0.0.1 localhost\n")
    for place in ("run", "next"):
        for nothing in ("forwards-nothing", "uses-no-exit"):
            (host.home / place / nothing).touch()
    header = (
        f"{PROGRAM}\nplanned() {{ echo next; }}\nready=$home/previous/ready\nis_link_up() {{ return 0; }}\n"
        'outlast() { echo "$3"; "$@"; }\n'
    )
    assert host.run(f"{header}order_ready; order_ready").stdout == "open_port\n"
    assert host.run(f"{header}order_finish").stdout == ""
    (host.home / "next/names").write_text("fd00::2 carol.testwg\n")
    assert host.run(f"{header}order_finish; order_finish").stdout == "finish_shared\n"
    (host.home / "next/settings").write_text("mtu 1420\nport 51826\nforward\n")
    (host.home / "next/forwards-nothing").unlink()
    host.stub("nft")
    assert host.run(f"{header}is_port_open || echo closed; is_finished || echo open").stdout == "closed\nopen\n"
