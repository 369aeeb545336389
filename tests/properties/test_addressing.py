"""What holds of the address of every host."""

from ipaddress import IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from mesh.wireguard.addressing import derive_subnet, find_collisions, host_address
from tests.strategies import host_names, interface_names

LOCAL = IPv6Network("fd00::/16")


@given(host_names, interface_names)
def test_every_address_is_a_local_one_in_a_subnet_of_its_own(host: str, interface: str) -> None:
    """No host is placed outside fd00::/16, and its address is in the prefix that its peers route to it."""
    subnet = derive_subnet(host, interface)
    assert subnet.prefixlen == 64
    assert subnet.subnet_of(LOCAL)
    assert host_address(subnet).network == subnet


@given(st.lists(host_names, unique=True, max_size=30), interface_names)
def test_allowed_prefixes_are_disjoint_or_reported(hosts: list[str], interface: str) -> None:
    """WireGuard moves a prefix that is claimed twice to the last peer in silence, so it is found before."""
    subnets = [derive_subnet(host, interface) for host in hosts]
    overlap = any(a.overlaps(b) for i, a in enumerate(subnets) for b in subnets[:i])
    assert overlap == bool(find_collisions((interface, host) for host in hosts))


@given(host_names, interface_names, st.integers(16, 60), st.integers(0, 2**128 - 1))
def test_a_chosen_prefix_holds_every_subnet(host: str, interface: str, length: int, bits: int) -> None:
    """Each host owns a /64 of it, the same in every run."""
    prefix = IPv6Network((bits, length), strict=False)
    subnet = derive_subnet(host, interface, prefix)
    assert subnet.prefixlen == 64
    assert subnet.subnet_of(prefix)
    assert subnet == derive_subnet(host, interface, prefix)


def test_a_chosen_prefix_is_used_to_its_last_bit() -> None:
    """Hosts spread over all of a /56, so that few of them collide."""
    found = {derive_subnet(f"host{number}", "wg", IPv6Network("fd12:3456:789a:bc00::/56")) for number in range(3000)}
    assert len(found) == 256
