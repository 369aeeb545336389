"""Make values for property tests: names, addresses and whole stack files, valid ones and garbage.

Strategies live here, what must hold of them in `properties`.
"""

from ipaddress import IPv4Address, IPv6Address
from itertools import product
from typing import Any

from hypothesis import strategies as st

from mesh.config.interface_name import is_interface_name
from mesh.config.models import Host, Interface, MemberOverrides, SshSettings
from tests.lab.edits import Draft

__all__ = [
    "HOST_KEY",
    "SECRETS",
    "external_ips",
    "first_draft",
    "garbage",
    "host_names",
    "interface_names",
    "stack_files",
]

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

SECRETS = (
    "QJ3GKuDn0Yp7zRsvkVgfH+2lZEl5pUeXG9cwBYKHq1E=",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n-----END OPENSSH PRIVATE KEY-----",
)

_FIELDS = sorted(
    {
        info.alias or ""
        for model in (Host, Interface, MemberOverrides, SshSettings)
        for info in model.model_fields.values()
    }
)

_labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
host_names = st.lists(_labels, min_size=1, max_size=3).map(".".join)
interface_names = st.from_regex(r"[a-zA-Z0-9_.-]{1,15}", fullmatch=True).filter(is_interface_name)

_public_ipv4 = st.integers(int(IPv4Address("5.0.0.0")), int(IPv4Address("9.255.255.255"))).map(IPv4Address)
_public_ipv6 = st.integers(int(IPv6Address("2001:db8::")), int(IPv6Address("2001:db8:ffff::"))).map(IPv6Address)
external_ips = st.one_of(_public_ipv4, _public_ipv6).map(str)


@st.composite
def stack_files(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of `mesh:hosts` and `mesh:interfaces` of a stack file without a fault."""
    names = draw(st.lists(host_names, min_size=1, max_size=7, unique=True))
    interfaces = draw(st.lists(interface_names, max_size=3, unique=True))
    # Names are joined before they are hashed, so these alone would collide.
    joined = [host + interface for host, interface in product(names, interfaces)]
    if len(set(joined)) < len(joined):
        interfaces = interfaces[:1]
    addresses = draw(st.lists(external_ips, min_size=len(names), max_size=len(names), unique=True))
    hosts: dict[str, Any] = {}
    for number, (name, address) in enumerate(zip(names, addresses, strict=True)):
        hosts[name] = {"ssh": {"address": f"10.0.0.{number + 1}", "hostKey": HOST_KEY}}
        hosts[name] |= draw(
            st.sampled_from([{}, {"externalIps": [address]}, {"externalName": f"h{number}.example.org"}])
        )
    return hosts, {
        interface: {
            "hosts": draw(st.lists(st.sampled_from(names), min_size=1, unique=True)),
            "port": 51000 + number,
            "rotation": draw(st.integers(1, 9)),
        }
        for number, interface in enumerate(interfaces)
    }


_keys = st.one_of(st.sampled_from(_FIELDS), host_names, st.sampled_from(SECRETS), st.text(max_size=8))
_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(SECRETS), external_ips
)
garbage = st.recursive(
    _leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_keys, inner, max_size=5)),
    max_leaves=25,
)


def first_draft() -> Draft:
    """Return a stack file with which a walk begins as in the lab: four hosts, edgeworth behind NAT."""
    hosts = {
        name: {"ssh": {"address": f"10.99.0.{number}", "hostKey": HOST_KEY}, "externalIps": [f"203.0.113.{number}"]}
        for number, name in enumerate(("bernard", "carol", "dora", "edgeworth"), 1)
    }
    del hosts["edgeworth"]["externalIps"]
    mesh = {"hosts": list(hosts), "port": 51825, "rotation": 1}
    return Draft(hosts, mesh, {name: False for name in hosts if name != "edgeworth"})
