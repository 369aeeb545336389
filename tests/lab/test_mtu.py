"""Packets of full size pass in every direction, or the run says between whom they do not."""

import re
from collections.abc import Iterator

import pytest

from tests.lab.lab import Lab
from tests.lab.stack import Stack


def test_a_path_that_swallows_large_packets_is_named_with_the_size_that_passes(stack: Stack, lab: Lab) -> None:
    """Small pings pass it, so that a mesh would look well until somebody copies a file; with that size it is well."""
    mesh = {"hosts": ["bernard", "carol", "dora"], "port": 51825, "deadline": 20, "names": True}
    stack.write({"testwg": mesh})
    lab.network.narrow(1, 2, 1400)
    try:
        output = stack.fail()
        assert "rolling back all hosts" in output
        found = re.search(
            r"(bernard → carol|carol → bernard): packets of more than (\d+) bytes inside the tunnel", output
        )
        assert found, output
        assert "dora" not in output[output.index("not verified") :]
        # What went back took the names along.
        assert lab.hosts["bernard"].run("grep -c testwg /etc/hosts", check=False) == "0\n"
        size = int(found.group(2))
        # Of 1400 bytes, 60 are for the tunnel, and what it carries is padded to 16.
        assert 1324 <= size <= 1328
        stack.write({"testwg": mesh | {"mtu": size}})
        stack.up()
        assert stack.silent("testwg") == []
    finally:
        lab.network.unblock()


@pytest.fixture
def small_link(lab: Lab) -> Iterator[str]:
    """Give bernard's wire an MTU of 1400 bytes at both ends."""

    def carry(size: int) -> None:
        lab.network.ip("bernard", f"link set eth0 mtu {size}")
        lab.network.ip("inet", f"link set p-bernard mtu {size}")

    carry(1400)
    yield "bernard"
    carry(1500)


def test_a_small_link_is_found_by_the_scan_and_the_mesh_fits_it(stack: Stack, lab: Lab, small_link: str) -> None:
    """Without a word about it in the stack file; the proof sends packets of full size through it."""
    stack.write({"testwg": {"hosts": ["bernard", "carol", "edgeworth"], "port": 51825, "deadline": 20}})
    assert "bernard: its link carries packets of 1400 bytes at most" in stack.companion("scan", str(stack.file)).output
    assert stack.file.read_text().count("linkMtu") == 1
    stack.up()
    for name in (small_link, "carol", "edgeworth"):
        assert lab.hosts[name].run("cat /sys/class/net/testwg/mtu") == "1320\n"
    assert stack.silent("testwg") == []
    assert stack.run("preview", "--refresh", "--expect-no-changes").code == 0
