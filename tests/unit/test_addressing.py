"""Where `mesh.addressing` places hosts."""

from ipaddress import IPv6Interface, IPv6Network

import pytest

from mesh.wireguard import addressing
from mesh.wireguard.addressing import Collision, derive_subnet, find_collisions, host_address


@pytest.mark.parametrize(
    ("host", "address"),
    [("bernard", "fd00:1c86:78d4:dcef::1/64"), ("edgeworth", "fd00:cac2:10cb:6ee9::1/64")],
)
def test_the_hosts_of_the_seed_keep_their_addresses(host: str, address: str) -> None:
    """A mesh that was deployed by the system before this one is not renumbered."""
    assert str(host_address(derive_subnet(host, "testwg"))) == address


def test_an_address_is_the_first_of_its_subnet() -> None:
    """The interface gets ::1 and the length of the subnet, so that the subnet is on-link."""
    assert host_address(IPv6Network("fd00:a:b:c::/64")) == IPv6Interface("fd00:a:b:c::1/64")


def test_subnets_are_shown_in_canonical_form() -> None:
    """Leading zeros vanish, since wg shows none and a comparison with it must come out equal."""
    # The digest of this name begins with 0.
    name = next(f"host{n}" for n in range(1000) if addressing.derive_subnet(f"host{n}", "wg").exploded[5] == "0")
    assert not str(derive_subnet(name, "wg")).startswith("fd00:0")


def test_names_that_join_to_one_text_collide() -> None:
    """Host 'ab' on 'c' and host 'a' on 'bc' are one subnet, which is found out."""
    collisions = find_collisions([("c", "ab"), ("bc", "a"), ("c", "other")])
    assert collisions == (Collision(derive_subnet("a", "bc"), (("bc", "a"), ("c", "ab"))),)


def test_a_host_that_is_asked_about_twice_does_not_collide_with_itself() -> None:
    """A repeated name is another fault than a collision."""
    assert find_collisions([("wg", "a"), ("wg", "a")]) == ()
