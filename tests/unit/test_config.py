"""What `mesh.config` reads, and how it says what is wrong."""

from collections.abc import Callable
from datetime import timedelta
from ipaddress import IPv6Network
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError

from mesh.config.models import Configuration, Host
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.wireguard import addressing
from mesh.wireguard.keys import generate_key_pair
from tests.strategies import HOST_KEY

Section = dict[str, Any]
REMOVED = object()
SCAN = "run python -m mesh scan STACK"
NO_SYSTEM = "not usable; give a processor and linux, such as x86_64-linux or aarch64-linux"
NO_ADDRESS = "not an address; give a host name or an IP address, without user, brackets or port"
ALL_OF_AN_INTERFACE = (
    "hosts, port, mtu, persistentKeepalive, rotation, maxKeyAge, unreachable, deadline, forgotten, members, "
    "peers, peering, prefix, ipv4, relay, "
    "presharedKeys, requirePostQuantum, names, exitNode"
)
NO_ENDPOINT = (
    "not an endpoint; give an IP address or a DNS name, and a UDP port, such as 78.11.11.11:51820, "
    "[2001:db8::1]:51820 or router.example.org:51820"
)
ALL_OF_A_HOST = "system, externalIps, externalName, site, localIps, linkMtu, tags, formerly, ssh"
PUBLIC = "name one that has externalIps or externalName"
NO_PREFIX = "not an IPv4 prefix; give one of 8 to 30 bits such as 10.20.0.0/24, without host bits"
NO_HOSTS = "addresses that no host can have; give a prefix of your own, such as 10.20.0.0/24"
NO_IPV6_PREFIX = "not an IPv6 prefix of 16 to 60 bits; give one of your own, such as fd12:3456:789a::/48"
ALLOCATE = "run python -m mesh allocate STACK to have them written"
NO_PUBLIC_KEY = "not a WireGuard public key; give the 44 characters of base64 that wg pubkey prints"
ZERO = "all zeros, which is no key to WireGuard; give the one that wg pubkey prints"
NAME_RULE = "use letters, digits and - in labels of 1 to 63, joined by dots"
PORT = "not usable; give a whole number from 1 to 65535"


def faults_of(hosts: object, interfaces: object) -> tuple[str, ...]:
    """Return the faults for which a stack file is refused."""
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(hosts, interfaces)
    return caught.value.faults


def put(section: Section, path: str, value: object) -> None:
    """Set what is at a path such as `bernard.ssh.port`."""
    *parents, last = path.split(".")
    for part in parents:
        section = section.setdefault(part, {})
    if value is REMOVED:
        del section[last]
    else:
        section[last] = value


def host_key_line(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """Return the public half as OpenSSH writes it."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_the_defaults_are_those_that_the_reference_promises(hosts: Section, interfaces: Section) -> None:
    """A file with nothing but hosts, addresses and host keys works."""
    hosts["bernard"] = {"ssh": {"address": "10.0.0.5", "hostKey": hosts["bernard"]["ssh"]["hostKey"]}}
    interfaces["testwg"] = {"hosts": ["bernard", "edgeworth"]}
    configuration = read_configuration(hosts, interfaces)
    host, interface = configuration.hosts["bernard"], configuration.interfaces["testwg"]
    assert (host.system, host.external_ips, host.tags) == (None, (), ())
    assert (host.ssh.port, host.ssh.user, host.ssh.uses_sudo, host.ssh.bastion) == (22, "root", False, None)
    assert (interface.port, interface.mtu, interface.rotation, interface.deadline) == (51824, None, 1, 60)
    assert (interface.persistent_keepalive, interface.max_key_age, interface.unreachable) == (None, None, "stop")
    assert interface.members == {}


def test_every_field_of_the_file_is_read(hosts: Section, interfaces: Section) -> None:
    """Each camelCase name reaches its value."""
    key = hosts["bernard"]["ssh"]["hostKey"]
    hosts["bernard"] |= {"tags": ["berlin"], "externalIps": ["78.11.11.11", "2001:DB8::1"]}
    hosts["bernard"]["ssh"] |= {"port": 2222, "user": "operator", "bastion": {"address": "192.0.2.1", "hostKey": key}}
    interfaces["testwg"] |= {
        "mtu": 1280,
        "persistentKeepalive": "off",
        "rotation": 2,
        "maxKeyAge": "180d",
        "unreachable": "skip",
        "deadline": 90,
        "members": {"edgeworth": {"rotation": 3, "persistentKeepalive": 15}},
    }
    configuration = read_configuration(hosts, interfaces)
    host, interface = configuration.hosts["bernard"], configuration.interfaces["testwg"]
    assert (host.tags, host.external_ips) == (("berlin",), ("78.11.11.11", "2001:db8::1"))
    assert (host.ssh.port, host.ssh.user, host.ssh.host_key) == (2222, "operator", key)
    assert host.ssh.bastion is not None
    assert (host.ssh.bastion.address, host.ssh.bastion.port) == ("192.0.2.1", 22)
    assert (interface.mtu, interface.persistent_keepalive, interface.rotation) == (1280, "off", 2)
    assert (interface.max_key_age, interface.unreachable, interface.deadline) == (timedelta(days=180), "skip", 90)
    assert (interface.members["edgeworth"].rotation, interface.members["edgeworth"].persistent_keepalive) == (3, 15)


@pytest.mark.parametrize(
    ("user", "sudo", "expected"),
    [("root", None, False), ("operator", None, True), ("root", True, True), ("operator", False, False)],
)
def test_every_user_but_root_takes_sudo_unless_told(
    hosts: Section, interfaces: Section, user: str, sudo: bool | None, expected: bool
) -> None:
    """Who is not root needs it, and the file has the last word."""
    hosts["bernard"]["ssh"]["user"] = user
    if sudo is not None:
        hosts["bernard"]["ssh"]["sudo"] = sudo
    assert read_configuration(hosts, interfaces).hosts["bernard"].ssh.uses_sudo is expected


def test_a_mesh_may_have_no_interface_left(hosts: Section) -> None:
    """Taking the last interface out of the file is how its mesh is taken down."""
    assert read_configuration(hosts, {}).interfaces == {}


@pytest.mark.parametrize("value", ["off", False, 0])
def test_a_keepalive_is_switched_off_in_every_way_that_yaml_and_wg_know(
    hosts: Section, interfaces: Section, value: object
) -> None:
    """A reader of YAML 1.1 turns `off` into false, and wg takes 0."""
    interfaces["testwg"]["persistentKeepalive"] = value
    assert read_configuration(hosts, interfaces).interfaces["testwg"].persistent_keepalive == "off"


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_host_keys_on_nist_curves_are_taken_too(hosts: Section, interfaces: Section, curve: ec.EllipticCurve) -> None:
    """A host without an Ed25519 key can still be pinned, and a comment is no part of its key."""
    line = host_key_line(ec.generate_private_key(curve))
    hosts["bernard"]["ssh"]["hostKey"] = f"{line} root@bernard"
    assert read_configuration(hosts, interfaces).hosts["bernard"].ssh.host_key == line


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("bernard.ssh.hostKey", REMOVED, f"missing; {SCAN} to fill it in"),
        ("bernard.ssh.address", REMOVED, "missing; give the host name or IP address that SSH connects to"),
        ("bernard.ssh", REMOVED, f"missing; {SCAN} to fill it in"),
        ("bernard.ssh", "10.0.0.5", "not usable; give a mapping with at least address and hostKey"),
        ("bernard", 5, "not usable; give a mapping with at least ssh"),
        ("bernard.ssh.port", 0, PORT),
        ("bernard.ssh.port", 65536, PORT),
        ("bernard.ssh.port", True, PORT),
        ("bernard.ssh.port", "ssh", PORT),
        ("bernard.ssh.sudo", "yes", "not usable; give true or false"),
        ("bernard.ssh.user", "-oProxyCommand=x", "not a user name; give the account that SSH logs in to, such as root"),
        ("bernard.ssh.address", "root@10.0.0.5", NO_ADDRESS),
        ("bernard.ssh.address", "10.0.0.500", NO_ADDRESS),
        ("bernard.ssh.address", "fe80::1%eth0\n    ProxyCommand x", NO_ADDRESS),
        ("bernard.ssh.address", "fe80::1%a b", NO_ADDRESS),
        ("bernard.ssh.hostkey", "x", "unknown field; did you mean hostKey?"),
        ("bernard.external_ips", [], "unknown field; did you mean externalIps?"),
        (
            "bernard.zone",
            "x",
            f"unknown field; allowed here: {ALL_OF_A_HOST}",
        ),
        ("bernard.system", "x86_64-darwin", NO_SYSTEM),
        ("bernard.system", "x86_64-linux\n", NO_SYSTEM),
        ("bernard.externalIps", "78.11.11.11", "not usable; give a list of IP addresses, endpoint first"),
    ],
)
def test_a_fault_of_a_host_names_its_place_and_the_way_out(
    hosts: Section, interfaces: Section, path: str, value: object, fault: str
) -> None:
    """A wrong value of a host is one line that says where, what and what to do."""
    put(hosts, path, value)
    assert faults_of(hosts, interfaces) == (f"mesh:hosts.{path}: {fault}",)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("testwg.port", 0, PORT),
        ("testwg.port", 70000, PORT),
        ("testwg.port", "51825", PORT),
        ("testwg.mtu", 1279, "not usable; give bytes from 1280 to 9000"),
        ("testwg.mtu", 9001, "not usable; give bytes from 1280 to 9000"),
        ("testwg.deadline", 9, "not usable; give seconds from 10 to 600"),
        ("testwg.deadline", 601, "not usable; give seconds from 10 to 600"),
        ("testwg.rotation", 0, "not usable; give a whole number from 1 up"),
        ("testwg.unreachable", "wait", "not usable; give stop or skip"),
        ("testwg.maxKeyAge", "6 months", "not an age; give days from 1d to 9999d, such as 180d"),
        ("testwg.maxKeyAge", "0d", "not an age; give days from 1d to 9999d, such as 180d"),
        ("testwg.persistentKeepalive", 65536, "not a keepalive; give seconds from 1 to 65535, or off"),
        ("testwg.persistentKeepalive", True, "not a keepalive; give seconds from 1 to 65535, or off"),
        ("testwg.hosts", REMOVED, "missing; give a list of host names from mesh:hosts"),
        ("testwg.hosts", "bernard", "not usable; give a list of host names from mesh:hosts"),
        ("testwg.hosts", [], "no hosts; list at least one, or remove the interface"),
        ("testwg.hosts", ["bernard", "bernard"], "host 'bernard' is listed twice; remove one of the two"),
        ("testwg.hosts", ["bernard", "nobody"], "unknown host 'nobody'; describe it in mesh:hosts or remove it"),
        (
            "testwg.hosts",
            ["bernrad", "edgeworth"],
            "unknown host 'bernrad'; did you mean 'bernard'? Else describe it in mesh:hosts or remove it",
        ),
        ("testwg.listenPort", 5, f"unknown field; allowed here: {ALL_OF_AN_INTERFACE}"),
        ("testwg.persistent_keepalive", 5, "unknown field; did you mean persistentKeepalive?"),
        ("testwg.forgotten", ["bernard"], "'bernard' is a host of this interface again; remove it there"),
        ("testwg.peers.bernard", {}, "'bernard' is a host of this interface too; leave one of the two out"),
        ("testwg.peers.my_phone", {}, f"not a host name; {NAME_RULE}"),
        ("testwg.peers.phone.publicKey", "short", NO_PUBLIC_KEY),
        ("testwg.peers.phone.endpoint", "2001:db8::1:51820", NO_ENDPOINT),
        ("testwg.peers.phone.endpoint", "[78.11.11.11]:51820", NO_ENDPOINT),
        ("testwg.peers.phone.endpoint", "78.11.11.11:0", NO_ENDPOINT),
        ("testwg.peers.phone.endpoint", "router..:51820", NO_ENDPOINT),
        ("testwg.peers.phone.publicKey", "A" * 43 + "=", ZERO),
        ("testwg.peers.phone.endpoint", "1.2.3:51820", NO_ENDPOINT),
        ("testwg.prefix", "::/60", NO_IPV6_PREFIX),
        ("testwg.prefix", "fec0::/16", NO_IPV6_PREFIX),
        ("testwg.ipv4", "127.0.0.0/8", NO_HOSTS),
        ("testwg.ipv4", "169.254.7.0/24", NO_HOSTS),
        ("testwg.ipv4", "224.0.0.0/8", NO_HOSTS),
        ("testwg.prefix", "fd12::1/48", NO_IPV6_PREFIX),
        ("testwg.prefix", "fd12::/64", NO_IPV6_PREFIX),
        ("testwg.ipv4", "10.20.0.5/24", NO_PREFIX),
        ("testwg.ipv4", "10.20.0.0", NO_PREFIX),
        ("testwg.ipv4", "10.20.0.0/24", f"no address for bernard, edgeworth; {ALLOCATE}"),
        ("testwg.relay", "nobody", "'nobody' is no host of this interface; name one that is, or auto"),
        ("testwg.relay", "edgeworth", f"host 'edgeworth' is roaming, so it cannot relay; {PUBLIC}"),
        ("testwg.presharedKeys", "none", "not usable; give shared or pairwise"),
        ("testwg.names", "yes", "not usable; give true or false"),
        ("testwg.peering", "all", "not usable; give a list of rules, each a group, or a hub and its spokes"),
        ("testwg.forgotten", "phoenix", "not usable; give a list of names of hosts that have left"),
        ("testwg.members.nobody", {}, "no host of this interface; list it in hosts or remove it"),
        ("testwg.members.bernard.rotate", 2, "unknown field; did you mean rotation?"),
        ("testwg.members.bernard.rotation", 0, "not usable; give a whole number from 1 up"),
        (
            "testwg.members.bernard",
            2,
            (
                "not usable; give a mapping of rotation, persistentKeepalive, address, externalPort, ipv4, "
                "routes, masquerade, exitNode"
            ),
        ),
    ],
)
def test_a_fault_of_an_interface_names_its_place_and_the_way_out(
    hosts: Section, interfaces: Section, path: str, value: object, fault: str
) -> None:
    """A wrong value of an interface is one line that says where, what and what to do, and the only one."""
    put(interfaces, path, value)
    assert faults_of(hosts, interfaces) == (f"mesh:interfaces.{path}: {fault}",)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("bernard.tags", ["a", 5], "bernard.tags[1]"),
        ("bernard.externalIps", ["78.11.11.11", {}], "bernard.externalIps[1]"),
        ("bernard.ssh.bastion", {"address": "192.0.2.1"}, "bernard.ssh.bastion.hostKey"),
        ("bernard.ssh.bastion", {"bastion": {}, "address": "192.0.2.1"}, "bernard.ssh.bastion.bastion"),
        ("edge_worth", {}, "edge_worth.ssh"),
    ],
)
def test_a_fault_deep_inside_a_value_is_told_where_it_is(
    hosts: Section, interfaces: Section, path: str, value: object, place: str
) -> None:
    """Items of lists and fields of a bastion have places of their own."""
    put(hosts, path, value)
    assert f"mesh:hosts.{place}" in [fault.partition(": ")[0] for fault in faults_of(hosts, interfaces)]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0", "the unspecified address cannot be an endpoint"),  # noqa: S104 - it is to be refused
        ("::", "the unspecified address cannot be an endpoint"),
        ("127.0.0.1", "a loopback address cannot be an endpoint"),
        ("::1", "a loopback address cannot be an endpoint"),
        ("224.0.0.1", "a multicast address cannot be an endpoint"),
        ("ff02::1", "a multicast address cannot be an endpoint"),
        ("169.254.0.1", "a link-local address cannot be an endpoint"),
        ("fe80::1", "a link-local address cannot be an endpoint"),
        ("255.255.255.255", "the broadcast address cannot be an endpoint"),
        ("2001:db8::1%eth0", "an address with a zone; give"),
        ("::ffff:78.11.11.11", "an IPv4 address in IPv6 form; write it as IPv4"),
        ("78.11.11.11/32", "not an IP address; give an IPv4 or IPv6 address"),
        ("[2001:db8::1]", "not an IP address; give an IPv4 or IPv6 address"),
        ("bernard.example.org", "a name, and this takes addresses; give a name as externalName"),
        ("bernard", "a name, and this takes addresses; give a name as externalName"),
        (78, "not an IP address; write it as text"),
    ],
)
def test_an_address_that_peers_cannot_send_to_is_refused(
    hosts: Section, interfaces: Section, address: object, reason: str
) -> None:
    """An endpoint that leads nowhere would be a tunnel that never comes up."""
    hosts["bernard"]["externalIps"] = ["78.11.11.11", address]
    (fault,) = faults_of(hosts, interfaces)
    assert fault.startswith(f"mesh:hosts.bernard.externalIps[1]: {reason}")


def ed25519_private(_: str) -> str:
    """Return a private key as its file holds it."""
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (ed25519_private, "a private key; replace that key on the host, then give the public one"),
        (lambda line: line.split()[1], "not a public host key; give its type and its base64"),
        (lambda line: f"bernard {line}", "not a supported type of host key; give one of ssh-ed25519, ecdsa-"),
        (lambda line: line[:-4], "a damaged host key; run"),
        (lambda line: line.replace("ssh-ed25519", "ecdsa-sha2-nistp256"), "a damaged host key; run"),
        (lambda _: host_key_line(rsa.generate_private_key(65537, 2048)), "not a supported type of host key; give"),
    ],
    ids=["private", "no type", "known_hosts line", "cut off", "another type inside", "rsa"],
)
def test_what_is_no_supported_host_key_is_refused_without_being_shown(
    hosts: Section, interfaces: Section, spoil: Callable[[str], str], reason: str
) -> None:
    """A host is pinned to a key that SSH can check, and a private key pasted there stays out of the log."""
    spoilt = spoil(hosts["bernard"]["ssh"]["hostKey"])
    hosts["bernard"]["ssh"]["hostKey"] = spoilt
    (fault,) = faults_of(hosts, interfaces)
    assert fault.startswith(f"mesh:hosts.bernard.ssh.hostKey: {reason}")
    assert not any(word in fault for word in spoilt.split() if len(word) > 30)


@pytest.mark.parametrize(
    "name", ["", "a" * 16, "wg/0", "wg 0", "wg0\n", "wü0", "a+b", "wg=0", "-wg", "wg@0", "a:b", "٣"]
)
def test_a_name_that_some_host_refuses_is_no_interface_name(hosts: Section, name: object) -> None:
    """It is told before anything runs, and not by a failing host: systemd has no unit with + or = in its name."""
    (fault,) = faults_of(hosts, {name: {"hosts": ["bernard"]}})
    assert fault.endswith(": not an interface name; use 1 to 15 of letters, digits and _ . - and no - at the beginning")


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        (".", "a name that the kernel does not give to an interface"),
        ("..", "a name that the kernel does not give to an interface"),
        ("bonding_masters", "a name that the kernel does not give to an interface"),
        ("all", "a word that means other interfaces to wg or to sysctl"),
        ("default", "a word that means other interfaces to wg or to sysctl"),
        ("up", "a word of ip, by which wg-quick makes interfaces"),
        ("br", "a word of ip, by which wg-quick makes interfaces"),
        ("if3", "a name by which ip means the interface of that number"),
        ("wg.service", "a name whose end systemd takes for the kind of a unit"),
        (".mount", "a name whose end systemd takes for the kind of a unit"),
        ("to", "a word that ufw reads as a part of its rules"),
        ("program", "the name of a file of mesh in /var/lib/mesh"),
    ],
)
def test_a_name_that_means_something_else_on_hosts_is_refused_with_what_it_means(
    hosts: Section, name: str, meaning: str
) -> None:
    """One that a single tool takes otherwise would fail on hosts, or worse, do something to another interface."""
    (fault,) = faults_of(hosts, {name: {"hosts": ["bernard"]}})
    assert fault.endswith(f": {meaning}, not an interface name; choose another")


@pytest.mark.parametrize(
    "name",
    [
        "w",
        "a" * 15,
        "Wg_0-.",
        "...",
        ".wg",
        "0",
        "1e1",
        "nan",
        "iff3",
        "if",
        "units",
        "new",
        "wg.1",
        "wg.sh",
        "br0",
        "u",
    ],
)
def test_every_name_that_hosts_take_is_an_interface_name(hosts: Section, name: str) -> None:
    """We are no stricter than they are, and files of ours stand in nobody's way."""
    assert name in read_configuration(hosts, {name: {"hosts": ["bernard"]}}).interfaces


@pytest.mark.parametrize("name", ["", "-a", "a-", "a..b", "a.", "a_b", "a" * 64, ".".join(["a" * 49] * 6), "ä", "a\n"])
def test_a_name_outside_the_standard_is_no_host_name(hosts: Section, interfaces: Section, name: str) -> None:
    """RFC 1123 labels with dots, so that a name is safe in paths, names of resources and commands."""
    hosts[name] = {"ssh": hosts["bernard"]["ssh"] | {"address": "10.0.0.9"}}
    (fault,) = faults_of(hosts, interfaces)
    assert fault.endswith(": not a host name; use letters, digits and - in labels of 1 to 63, joined by dots")


@pytest.mark.parametrize("name", ["a" * 63, ".".join(["a" * 49] * 5), "1", "A-1.b"])
def test_every_name_of_the_standard_is_a_host_name(hosts: Section, interfaces: Section, name: str) -> None:
    """We are no stricter than RFC 1123."""
    hosts[name] = {"ssh": hosts["bernard"]["ssh"] | {"address": "10.0.0.9"}}
    assert name in read_configuration(hosts, interfaces).hosts


def test_a_name_with_dots_is_quoted_in_its_place(hosts: Section, interfaces: Section) -> None:
    """The place can be handed to `pulumi config set --path` as it stands."""
    hosts["web.example.org"] = {"ssh": {"address": "10.0.0.9"}}
    assert faults_of(hosts, interfaces) == (
        f'mesh:hosts["web.example.org"].ssh.hostKey: missing; {SCAN} to fill it in',
    )


def test_a_file_without_its_sections_says_what_to_write() -> None:
    """The first run of a new stack ends in advice."""
    assert faults_of(None, None) == (
        "mesh:hosts: missing; name each host and give its ssh.address and ssh.hostKey",
        "mesh:interfaces: missing; name each interface and list its hosts, or give {} for none",
    )
    assert [fault.split(";")[0] for fault in faults_of([], "x")] == [
        "mesh:hosts: not a mapping",
        "mesh:interfaces: not a mapping",
    ]


def test_one_machine_under_two_names_is_found(hosts: Section, interfaces: Section) -> None:
    """Two hosts at one SSH address would undo each other's work."""
    hosts["edgeworth"]["ssh"]["address"] = "10.0.0.5"
    assert faults_of(hosts, interfaces) == (
        (
            "mesh:hosts.edgeworth.ssh.address: the same address and port as host 'bernard'; "
            "one machine can be one host only, so correct the address or remove one of the two"
        ),
    )


def test_one_machine_under_two_spellings_is_found(hosts: Section, interfaces: Section) -> None:
    """Names are compared without case and addresses in canonical form, as they are resolved."""
    hosts["bernard"]["ssh"]["address"], hosts["edgeworth"]["ssh"]["address"] = "web.example.org", "Web.Example.ORG"
    assert len(faults_of(hosts, interfaces)) == 1
    hosts["bernard"]["ssh"]["address"], hosts["edgeworth"]["ssh"]["address"] = "2001:db8::1", "2001:DB8:0::1"
    assert len(faults_of(hosts, interfaces)) == 1


def test_one_private_address_behind_two_bastions_is_two_machines(hosts: Section, interfaces: Section) -> None:
    """Sites number their networks alike, and forwarded ports share an address."""
    key = hosts["bernard"]["ssh"]["hostKey"]
    hosts["edgeworth"]["ssh"] |= {"address": "10.0.0.5", "bastion": {"address": "192.0.2.1", "hostKey": key}}
    hosts["cody"] = {"ssh": {"address": "10.0.0.5", "port": 2222, "hostKey": key}}
    assert isinstance(read_configuration(hosts, interfaces), Configuration)


def test_two_interfaces_cannot_listen_on_one_port_of_a_host(hosts: Section, interfaces: Section) -> None:
    """The second would not come up."""
    interfaces["backup"] = {"hosts": ["edgeworth", "bernard"], "port": 51825}
    assert faults_of(hosts, interfaces) == (
        (
            "mesh:interfaces.backup.port: 51825 is the port of interface 'testwg' too, on 'bernard' and 'edgeworth'; "
            "give one of them another port"
        ),
    )


def test_an_interface_has_another_name_than_the_files_of_the_peers_of_one(hosts: Section, interfaces: Section) -> None:
    """Both are outputs of the stack."""
    interfaces["testwg-peers"] = {"hosts": ["edgeworth"], "port": 51999}
    read_configuration(hosts, interfaces)
    interfaces["testwg"]["peers"] = {"phone": {}}
    place, words = faults_of(hosts, interfaces)[0].split(": ", 1)
    assert place == "mesh:interfaces.testwg-peers"
    assert words == "the files of the peers of interface 'testwg' are the output of that name; choose another one"


def test_two_interfaces_may_have_one_port_where_they_share_no_host(hosts: Section) -> None:
    """A port belongs to a host."""
    apart = {"one": {"hosts": ["bernard"]}, "two": {"hosts": ["edgeworth"]}}
    assert isinstance(read_configuration(hosts, apart), Configuration)


def test_two_hosts_of_a_mesh_cannot_share_an_endpoint(hosts: Section, interfaces: Section) -> None:
    """One address and port lead to one host; SSH would never reach the other."""
    hosts["bernard"]["externalIps"] = ["2001:db8::1"]
    hosts["edgeworth"]["externalIps"] = ["78.11.11.11", "2001:DB8:0::1"]
    interfaces["second"] = {"hosts": ["bernard", "edgeworth"]}
    assert faults_of(hosts, interfaces) == (
        (
            "mesh:hosts.edgeworth.externalIps: 2001:db8::1 is an address of host 'bernard' too, with one port on "
            "interface 'testwg'; leave it to the host that gets the packets"
        ),
    )


def test_two_hosts_behind_one_router_share_its_address_with_a_port_each(hosts: Section, interfaces: Section) -> None:
    """The router forwards another port to each."""
    hosts["edgeworth"]["externalIps"] = hosts["bernard"]["externalIps"]
    interfaces["testwg"]["members"] = {"edgeworth": {"externalPort": 40000}}
    assert isinstance(read_configuration(hosts, interfaces), Configuration)
    interfaces["testwg"]["members"]["bernard"] = {"externalPort": 40000}
    [fault] = faults_of(hosts, interfaces)
    assert "is an address of host 'bernard' too, with one port on interface 'testwg'" in fault


def test_two_hosts_of_two_meshes_cannot_share_an_endpoint(hosts: Section) -> None:
    """The router has one host for each port, whatever mesh the packets are of."""
    hosts["edgeworth"]["externalIps"] = hosts["bernard"]["externalIps"]
    apart: Section = {"one": {"hosts": ["bernard"]}, "two": {"hosts": ["edgeworth"]}}
    [fault] = faults_of(hosts, apart)
    assert "is an address of host 'bernard' too, with one port on interface 'two'" in fault
    apart["two"]["port"] = 40000
    assert isinstance(read_configuration(hosts, apart), Configuration)


def test_a_fault_in_a_rule_of_peering_is_told_by_what_a_rule_may_have(hosts: Section, interfaces: Section) -> None:
    """And by itself: whom the other rules leave without a peer is not known."""
    place = "mesh:interfaces.testwg.peering"
    interfaces["testwg"]["peering"] = [{"group": ["bernard"]}, {"grup": ["bernard"]}]
    assert faults_of(hosts, interfaces) == (f"{place}[1].grup: unknown field; did you mean group?",)
    interfaces["testwg"]["peering"] = [{"group": "all"}]
    assert faults_of(hosts, interfaces) == (f"{place}[0].group: not usable; give a list of hosts, tag:NAME or all",)


def test_a_name_leads_to_one_machine(hosts: Section) -> None:
    """Capital letters are none to a resolver, and a dot may be of the host's name or of the interface's."""
    ssh = hosts["edgeworth"]["ssh"]
    several = {name: {"ssh": {**ssh, "address": f"10.0.1.{n}"}} for n, name in enumerate(["web", "Web", "a", "a.b"])}
    one = {"one": {"hosts": ["web", "Web"], "names": True}}
    assert faults_of(several, one) == (
        "mesh:interfaces.one.names: Web.one is the name of 'web' on interface 'one' too; rename one of the two",
    )
    two = {"b.c": {"hosts": ["a"], "names": True}, "c": {"hosts": ["a.b"], "names": True}}
    assert faults_of(several, two) == (
        "mesh:interfaces.c.names: a.b.c is the name of 'a' on interface 'b.c' too; rename one of the two",
    )
    one["one"]["names"] = two["c"]["names"] = False
    assert isinstance(read_configuration(several, {**one, **two}), Configuration)


def test_local_addresses_need_a_site_and_belong_to_one_host_of_it(hosts: Section, interfaces: Section) -> None:
    """Two sites may have the same private addresses."""
    hosts["bernard"]["localIps"] = hosts["edgeworth"]["localIps"] = ["192.168.1.5"]
    hosts["edgeworth"]["site"] = "home"
    assert faults_of(hosts, interfaces) == (
        (
            "mesh:hosts.bernard.localIps: host 'bernard' has no site, so no peer uses them; "
            "name the site, or leave them out"
        ),
    )
    hosts["bernard"]["site"] = "office"
    assert isinstance(read_configuration(hosts, interfaces), Configuration)
    hosts["bernard"]["site"] = "home"
    [fault] = faults_of(hosts, interfaces)
    assert "192.168.1.5 is an address of host 'bernard' too, in the same site" in fault


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("78.11.11.11", "an address, and this takes a name; give it in externalIps instead"),
        ("2001:db8::1", "an address, and this takes a name; give it in externalIps instead"),
        ("a b", "not a DNS name; give one such as bernard.example.org, without a port"),
        ("localhost", "a name of the loopback address; give"),
        ("bernard.localhost.", "a name of the loopback address; give"),
        ("a" * 64, "not a DNS name; give"),
        ("bernard.example.org:51825", "not a DNS name; give"),
        ("bernard.example.org..", "not a DNS name; give"),
        ("78.11.11.256", "not a DNS name; give"),
        ("1.0x7f", "not a DNS name; give"),
        ("bernard.localhost", "a name of the loopback address; give"),
        (7, "not a DNS name; give"),
    ],
)
def test_a_name_that_no_other_host_could_resolve_is_refused(
    hosts: Section, interfaces: Section, name: object, reason: str
) -> None:
    """And what resolvers would read as an address."""
    hosts["edgeworth"]["externalName"] = name
    (fault,) = faults_of(hosts, interfaces)
    assert fault.startswith(f"mesh:hosts.edgeworth.externalName: {reason}")


@pytest.mark.parametrize("name", ["bbb", "a_b.example.org", "bernard.example.org.", "_wg._udp.Example.org", "bbb."])
def test_whatever_resolvers_take_is_a_name(hosts: Section, interfaces: Section, name: str) -> None:
    """By search domains, by /etc/hosts, or whole with its dot; it reaches the hosts as it is, in small letters."""
    hosts["edgeworth"] |= {"externalName": name}
    hosts["edgeworth"]["ssh"]["address"] = name
    interfaces["testwg"]["peers"] = {"router": {"endpoint": f"{name}:51820"}}
    configuration = read_configuration(hosts, interfaces)
    host, peer = configuration.hosts["edgeworth"], configuration.interfaces["testwg"].peers["router"]
    assert (host.external_name, host.ssh.address, peer.endpoint) == (
        name.lower(),
        name.lower(),
        f"{name.lower()}:51820",
    )


def test_a_host_has_addresses_or_a_name_that_no_other_has(hosts: Section, interfaces: Section) -> None:
    """Each conflict names both of its sides."""
    hosts["bernard"]["externalName"] = "Home.example.org"
    assert faults_of(hosts, interfaces) == (
        (
            "mesh:hosts.bernard.externalName: host 'bernard' has externalIps too, and peers use one of the two; "
            "leave the addresses out where they change, else the name"
        ),
    )
    del hosts["bernard"]["externalIps"]
    hosts["edgeworth"]["externalName"] = "home.example.org"
    assert faults_of(hosts, interfaces) == (
        (
            "mesh:hosts.edgeworth.externalName: home.example.org is the name of host 'bernard' too, with one port on "
            "interface 'testwg'; leave it to the host that gets the packets"
        ),
    )
    interfaces["testwg"]["members"] = {"edgeworth": {"externalPort": 40000}}
    assert isinstance(read_configuration(hosts, interfaces), Configuration)


def test_a_name_inside_the_mesh_is_refused(hosts: Section, interfaces: Section) -> None:
    """It would lead through the tunnel that it is to bring up."""
    del hosts["bernard"]["externalIps"]
    hosts["bernard"]["externalName"] = "bernard.testwg"
    interfaces["testwg"]["peers"] = {"router": {"endpoint": "Edgeworth.testwg:51820"}}
    assert isinstance(read_configuration(hosts, interfaces), Configuration)
    interfaces["testwg"]["names"] = True
    inside = (
        "is inside the mesh, the name of {} on interface 'testwg'; "
        "give a name outside, for a tunnel cannot carry itself"
    )
    assert faults_of(hosts, interfaces) == (
        f"mesh:hosts.bernard.externalName: bernard.testwg {inside.format(repr('bernard'))}",
        f"mesh:interfaces.testwg.peers.router.endpoint: edgeworth.testwg {inside.format(repr('edgeworth'))}",
    )


def test_an_external_port_needs_an_address(hosts: Section, interfaces: Section) -> None:
    """Else the host is roaming all the same, and the port is a mistake."""
    interfaces["testwg"]["members"] = {"edgeworth": {"externalPort": 40000}}
    assert faults_of(hosts, interfaces) == (
        (
            "mesh:interfaces.testwg.members.edgeworth.externalPort: host 'edgeworth' has no externalIps or "
            "externalName, so it has no endpoint; give the router's address or name there, or leave the port out"
        ),
    )


def test_two_hosts_of_different_meshes_may_share_an_address(hosts: Section) -> None:
    """A router forwards one port to each."""
    hosts["edgeworth"]["externalIps"] = ["78.11.11.11"]
    apart = {"one": {"hosts": ["bernard"], "port": 51001}, "two": {"hosts": ["edgeworth"], "port": 51002}}
    assert isinstance(read_configuration(hosts, apart), Configuration)


def test_an_endpoint_inside_the_mesh_is_refused(hosts: Section, interfaces: Section) -> None:
    """A tunnel whose packets go through the tunnel carries none."""
    hosts["edgeworth"]["externalIps"] = ["fd00:1c86:78d4:dcef::99"]
    assert faults_of(hosts, interfaces) == (
        (
            "mesh:hosts.edgeworth.externalIps: fd00:1c86:78d4:dcef::99 is inside the mesh, in the subnet of host "
            "'bernard' on interface 'testwg'; give an address outside, for a tunnel cannot carry itself"
        ),
    )


def test_the_endpoint_of_a_peer_and_a_local_address_inside_the_mesh_are_refused(
    hosts: Section, interfaces: Section
) -> None:
    """As those of hosts are, in either version of IP."""
    interfaces["testwg"] |= {
        "ipv4": "198.51.100.0/24",
        "members": {"bernard": {"ipv4": "198.51.100.1"}, "edgeworth": {"ipv4": "198.51.100.2"}},
        "peers": {
            "old": {"ipv4": "198.51.100.3", "endpoint": "198.51.100.7:51820"},
            "new": {"ipv4": "198.51.100.4", "endpoint": "[fd00:1c86:78d4:dcef::7]:51820"},
        },
    }
    hosts["edgeworth"] |= {"site": "home", "localIps": ["fd00:1c86:78d4:dcef::9"]}
    inside = "is inside the mesh, in the subnet of host 'bernard' on interface 'testwg'; give an address outside"
    told = faults_of(hosts, interfaces)
    assert [fault.partition(", for")[0] for fault in told] == [
        f"mesh:hosts.edgeworth.localIps: fd00:1c86:78d4:dcef::9 {inside}",
        f"mesh:interfaces.testwg.peers.new.endpoint: fd00:1c86:78d4:dcef::7 {inside}",
        (
            "mesh:interfaces.testwg.ipv4: 198.51.100.7, the endpoint of peer 'old' outside the mesh, is in "
            "198.51.100.0/24; choose another prefix"
        ),
    ]


def test_two_hosts_on_one_subnet_are_named(
    hosts: Section, interfaces: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed's refusal, with who and where."""
    # 48 bits cannot be made to collide in a test's time.
    monkeypatch.setattr(addressing, "derive_subnet", lambda _host, _interface, _prefix: IPv6Network("fd00:1:2:3::/64"))
    assert faults_of(hosts, interfaces) == (
        (
            "testwg: hostname-derived IPv6 subnet collision detected; hosts 'bernard' and 'edgeworth' both derive "
            "fd00:1:2:3::/64; rename one of them"
        ),
    )


def test_a_collision_across_interfaces_that_share_a_host_is_found(hosts: Section) -> None:
    """That host would have one route for two peers; the names collide for real, being joined before they are hashed."""
    for number, name in enumerate(["ab", "a"]):
        hosts[name] = {"ssh": hosts["bernard"]["ssh"] | {"address": f"10.0.1.{number}"}}
    interfaces = {"c": {"hosts": ["ab", "bernard"], "port": 51001}, "bc": {"hosts": ["a", "bernard"], "port": 51002}}
    assert faults_of(hosts, interfaces) == (
        (
            "bc: hostname-derived IPv6 subnet collision detected; hosts 'a' and 'ab' (on c) both derive "
            "fd00:ba78:16bf:8f01::/64; rename one of them"
        ),
    )


def test_a_collision_of_meshes_that_share_no_host_does_no_harm(hosts: Section) -> None:
    """No host knows both, so no packet can go astray."""
    for number, name in enumerate(["ab", "a"]):
        hosts[name] = {"ssh": hosts["bernard"]["ssh"] | {"address": f"10.0.1.{number}"}}
    apart = {"c": {"hosts": ["ab", "bernard"]}, "bc": {"hosts": ["a", "edgeworth"]}}
    assert isinstance(read_configuration(hosts, apart), Configuration)


def test_several_faulty_items_of_a_list_do_not_hide_the_others(hosts: Section, interfaces: Section) -> None:
    """What is right in a list is still compared with the rest of the file."""
    hosts["bernard"]["externalIps"] = ["::1", "x", "78.11.11.11", "y"]
    hosts["edgeworth"]["externalIps"] = ["78.11.11.11"]
    assert [fault.partition(": ")[0] for fault in faults_of(hosts, interfaces)] == [
        "mesh:hosts.bernard.externalIps[0]",
        "mesh:hosts.bernard.externalIps[1]",
        "mesh:hosts.bernard.externalIps[3]",
        "mesh:hosts.edgeworth.externalIps",
    ]


def test_the_models_hide_what_they_refuse() -> None:
    """Pydantic would repeat the value, should somebody show its own message."""
    with pytest.raises(ValidationError) as caught:
        Host.model_validate({"ssh": "a-password"})
    assert "a-password" not in str(caught.value)


def test_all_faults_of_a_file_are_told_at_once(hosts: Section, interfaces: Section) -> None:
    """A broken entry does not hide what is wrong between it and the others."""
    hosts["bernard"]["ssh"] = {"address": "10.0.0.6", "port": 22}
    hosts["bernard"]["externalIps"] = ["127.0.0.1", "fd00:cac2:10cb:6ee9::5"]
    hosts["edgeworth"]["colour"] = "red"
    interfaces["testwg"] |= {"port": "x", "hosts": ["bernard", "edgeworth", "nobody"]}
    interfaces["second"] = {"hosts": ["bernard"], "mtu": 1}
    interfaces["third"] = {"hosts": ["bernard"]}
    told = [fault.partition(": ")[0] for fault in faults_of(hosts, interfaces)]
    assert told == [
        "mesh:hosts.bernard.externalIps[0]",
        "mesh:hosts.bernard.ssh.hostKey",
        "mesh:hosts.edgeworth.colour",
        "mesh:interfaces.testwg.port",
        "mesh:interfaces.second.mtu",
        "mesh:hosts.edgeworth.ssh.address",
        "mesh:interfaces.testwg.hosts",
        "mesh:interfaces.third.port",
        "mesh:hosts.bernard.externalIps",
    ]


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        (
            "10.0.0.1/24",
            "an IPv4 address, and a mesh is IPv6 inside; give an IPv6 address, or leave it out to have one",
        ),
        ("fd12::1", "not an address with its prefix length; give one such as fd00:1:2:3::1/64"),
        (5, "not an address with its prefix length; give one such as fd00:1:2:3::1/64"),
        ("fd12::/64", "the subnet itself; give the host's own address in it, such as ::1"),
        ("fd12::1/16", "a subnet that swallows other networks; give a prefix length from 32 to 128"),
        ("fe80::1/64", "not an address that peers can send to; give one of your own, such as fd00:1:2:3::1/64"),
    ],
)
def test_an_address_that_no_host_can_have_is_refused(
    hosts: Section, interfaces: Section, address: object, fault: str
) -> None:
    """With what to give instead."""
    interfaces["testwg"]["members"] = {"bernard": {"address": address}}
    assert faults_of(hosts, interfaces) == (f"mesh:interfaces.testwg.members.bernard.address: {fault}",)


@pytest.mark.parametrize(
    ("bernard", "edgeworth", "subnets"),
    [
        ("fd12::1/64", "fd12::1/64", "fd12::1/128 and fd12::1/128"),
        ("fd12::1/64", "fd12::5/48", "fd12::/64 and fd12::/48"),
        ("fd00:cac2:10cb:6ee9::7/64", None, "fd00:cac2:10cb:6ee9::/64 and fd00:cac2:10cb:6ee9::/64"),
    ],
)
def test_subnets_that_overlap_are_refused(
    hosts: Section, interfaces: Section, bernard: str, edgeworth: str | None, subnets: str
) -> None:
    """Of two peers with one prefix, the kernel would give it to the last, in silence."""
    members = {"bernard": {"address": bernard}, **({"edgeworth": {"address": edgeworth}} if edgeworth else {})}
    interfaces["testwg"]["members"] = members
    (fault,) = faults_of(hosts, interfaces)
    one, other = subnets.split(" and ")
    assert ".address: " in fault
    assert f"{one} and {other}, of host" in fault or f"{other} and {one}, of host" in fault
    assert fault.endswith("give each host a subnet of its own, or all of them addresses in one subnet")


def test_an_endpoint_in_a_fixed_subnet_is_refused(hosts: Section, interfaces: Section) -> None:
    """As in a derived one."""
    interfaces["testwg"]["members"] = {"bernard": {"address": "fd12::1/48"}}
    hosts["edgeworth"]["externalIps"] = ["fd12:0:0:9::1"]
    (fault,) = faults_of(hosts, interfaces)
    assert "is inside the mesh, in the subnet of host 'bernard'" in fault


def test_a_peer_whose_key_is_declared_has_no_rotation_and_no_twin(hosts: Section, interfaces: Section) -> None:
    """Only a key that is made here can be regenerated."""
    key = generate_key_pair().public_key
    interfaces["testwg"]["peers"] = {"phone": {"publicKey": key, "rotation": 2}, "tablet": {"publicKey": key}}
    assert faults_of(hosts, interfaces) == (
        "mesh:interfaces.testwg.peers.phone.rotation: the key of 'phone' is not made here; remove this line",
        (
            "mesh:interfaces.testwg.peers.tablet.publicKey: the key of peer 'phone' too; each needs its own, so "
            "correct one of the two"
        ),
    )


def test_a_peer_has_an_address_that_no_host_has(hosts: Section, interfaces: Section) -> None:
    """Both sides are named."""
    address = addressing.host_address(addressing.derive_subnet("bernard", "testwg"))
    interfaces["testwg"]["peers"] = {"phone": {"address": str(address)}}
    (fault,) = faults_of(hosts, interfaces)
    assert fault.startswith("mesh:interfaces.testwg.peers.phone.address: ")
    assert "of host 'bernard'" in fault


def test_peering_rules_that_cannot_be_meant_are_refused(hosts: Section, interfaces: Section) -> None:
    """Each with its place; whoever is left alone is named."""
    interfaces["testwg"]["peering"] = [
        {"group": ["bernard", "nobody"]},
        {"hub": ["tag:none"]},
        {"group": ["all"], "hub": ["bernard"]},
        {},
    ]
    place = "mesh:interfaces.testwg.peering"
    form = "give a group, or a hub and its spokes, each a list of names, tag:NAME or all"
    assert faults_of(hosts, interfaces) == (
        f"{place}[0].group: 'nobody' is no such host here; correct it or remove it",
        f"{place}[1]: has hub; {form}",
        f"{place}[1].hub: 'tag:none' is a tag that no host of this interface has; correct it or remove it",
        f"{place}[2]: has group and hub; {form}",
        f"{place}[3]: has neither; {form}",
    )
    interfaces["testwg"]["peering"] = [{"group": ["bernard"]}]
    assert faults_of(hosts, interfaces) == (
        f"{place}: no rule gives 'bernard' a peer; name it in one, or take it out of the interface",
        f"{place}: no rule gives 'edgeworth' a peer; name it in one, or take it out of the interface",
    )


def test_a_peer_that_is_not_managed_needs_a_host_as_peer(hosts: Section, interfaces: Section) -> None:
    """Two of them are never joined, so that one that has only the other would be alone."""
    interfaces["testwg"] |= {
        "peers": {"phone": {}, "laptop": {}},
        "peering": [{"group": ["bernard", "edgeworth"]}, {"group": ["phone", "laptop"]}],
    }
    words = "a host as peer; name it in one, or take it out of the interface"
    assert faults_of(hosts, interfaces) == tuple(
        f"mesh:interfaces.testwg.peering: no rule gives {name!r} {words}" for name in ("laptop", "phone")
    )
    interfaces["testwg"]["peering"].append({"hub": ["bernard"], "spokes": ["phone", "laptop"]})
    assert isinstance(read_configuration(hosts, interfaces), Configuration)


def test_a_former_name_is_of_no_peer_beside_the_host(hosts: Section, interfaces: Section) -> None:
    """Both would claim one key, and what that peer knew would be taken for what the host knows, and stay in use."""
    hosts["bernard"]["formerly"] = "phone"
    interfaces["testwg"]["peers"] = {"phone": {}}
    assert faults_of(hosts, interfaces) == (
        (
            "mesh:hosts.bernard.formerly: 'phone' is a peer of interface 'testwg'; remove this line if it has done its "
            "work, else give that peer another name"
        ),
    )
    interfaces["second"] = {"hosts": ["edgeworth"], "peers": interfaces["testwg"].pop("peers"), "port": 51900}
    assert isinstance(read_configuration(hosts, interfaces), Configuration)


def test_ipv4_addresses_lie_in_the_prefix_and_have_one_owner(hosts: Section, interfaces: Section) -> None:
    """Each fault names both sides."""
    hosts["bernard"]["externalIps"] = ["10.20.0.200"]
    interfaces["testwg"] |= {
        "ipv4": "10.20.0.0/24",
        "members": {"bernard": {"ipv4": "10.20.0.255"}, "edgeworth": {"ipv4": "10.20.0.7"}},
        "peers": {"phone": {"ipv4": "10.20.0.7"}},
    }
    interfaces["backup"] = {"hosts": ["bernard"], "ipv4": "10.20.0.0/16", "members": {"bernard": {"ipv4": "10.20.9.9"}}}
    interfaces["third"] = {"hosts": ["bernard"], "port": 51900, "members": {"bernard": {"ipv4": "10.3.0.1"}}}
    place, outside = "mesh:interfaces", "an address of host 'bernard' outside the mesh, is in"
    advice = "choose another prefix, for a tunnel cannot carry itself"
    unusable = "10.20.0.255 is no address for a host in 10.20.0.0/24, the interface's ipv4; choose another"
    assert faults_of(hosts, interfaces) == (
        f"{place}.testwg.members.bernard.ipv4: {unusable}",
        f"{place}.testwg.peers.phone.ipv4: 10.20.0.7 is the address of 'edgeworth' too; choose another",
        f"{place}.testwg.ipv4: 10.20.0.200, {outside} 10.20.0.0/24; {advice}",
        f"{place}.backup.ipv4: 10.20.0.0/16 and 10.20.0.0/24, of interface 'testwg', overlap; choose another prefix",
        f"{place}.backup.ipv4: 10.20.0.200, {outside} 10.20.0.0/16; {advice}",
        f"{place}.third.members.bernard.ipv4: the interface has no ipv4 prefix; give it one, or remove this line",
    )


def test_the_former_name_of_a_host_is_told_wherever_it_still_stands(hosts: Section, interfaces: Section) -> None:
    """Its entry in `members` has its addresses: removed, it would lose them without a word."""
    addresses = {name: {"ipv4": f"10.20.0.{number}"} for number, name in enumerate(interfaces["testwg"]["hosts"], 1)}
    interfaces["testwg"] |= {"ipv4": "10.20.0.0/24", "members": addresses}
    hosts["storage"] = {**hosts.pop("bernard"), "formerly": "bernard"}
    assert "mesh:interfaces.testwg.hosts: host 'bernard' is 'storage' by now; use that name here too" in faults_of(
        hosts, interfaces
    )
    interfaces["testwg"]["hosts"] = ["storage" if name == "bernard" else name for name in interfaces["testwg"]["hosts"]]
    (fault,) = faults_of(hosts, interfaces)
    assert fault == "mesh:interfaces.testwg.members.bernard: is 'storage' by now; give the entry that name too"


def test_of_many_unknown_hosts_only_the_first_are_guessed() -> None:
    """Where a list and a section have other names throughout, each guess would look at all of them."""
    names = [f"server-{number}" for number in range(60)]
    hosts = {f"{name}-de": {"ssh": {"address": f"{name}.example.org", "hostKey": HOST_KEY}} for name in names}
    found = faults_of(hosts, {"testwg": {"hosts": names}})
    assert len([fault for fault in found if "unknown host" in fault]) == 60
    assert len([fault for fault in found if "did you mean" in fault]) == 20
