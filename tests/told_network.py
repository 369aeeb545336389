"""What is told to the machines of a stack file, read for the model in `network`: plans of hosts, files of peers."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from tests.network import Machine, Neighbour, Tunnel, is_inside

__all__ = ["machines_of", "read_peer_file", "read_plan"]


def _endpoint(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if port else None


def read_plan(text: str) -> Tunnel:
    """Return what a host makes of the lines that it is told."""
    words = [line.split(" ") for line in text.splitlines()]
    named: dict[str, list[list[str]]] = {}
    for line in words:
        named.setdefault(line[0], []).append(line[1:])
    shared = named.get("preshared-key", [[""]])[0][0]
    own = dict(named.get("pair-key", []))
    peers = {
        key: Neighbour(
            _endpoint(endpoint.strip("-")), [ip_network(net) for net in allowed.split(",")], own.get(name, shared),
            0 if keepalive == "off" else int(keepalive),
        )
        for name, key, _, endpoint, keepalive, allowed, _ in named.get("peer", [])
    }  # fmt: skip
    assert len(peers) == len(named.get("peer", []))
    return Tunnel(
        named["public-key"][0][0], int(named["port"][0][0]), [ip_interface(line[0]) for line in named["address"]],
        peers, [line for line in words if line[0] in ("forward", "forward-ipv4", "behind", "exit")],
    )  # fmt: skip


def read_peer_file(text: str, key: str) -> Tunnel:
    """Return what wg-quick makes of the file of an unmanaged peer that has this public key."""
    sections: list[dict[str, str]] = []
    for line in text.splitlines():
        if line.startswith("["):
            sections.append({"": line})
        elif line and not line.startswith("#"):
            name, _, value = line.partition(" = ")
            assert name not in sections[-1]
            sections[-1][name] = value
    interface, peers = sections[0], sections[1:]
    assert interface[""] == "[Interface]"
    assert all(peer[""] == "[Peer]" for peer in peers)
    read = {
        peer["PublicKey"]: Neighbour(
            _endpoint(peer.get("Endpoint", "")), [ip_network(net) for net in peer["AllowedIPs"].split(", ")],
            peer["PresharedKey"], int(peer.get("PersistentKeepalive", 0)),
        )
        for peer in peers
    }  # fmt: skip
    assert len(read) == len(peers)
    port = int(interface["ListenPort"]) if "ListenPort" in interface else None
    return Tunnel(key, port, [ip_interface(text) for text in interface["Address"].split(", ")], read)


def machines_of(
    hosts: Mapping[str, Any], interfaces: Mapping[str, Any], tunnels: Mapping[tuple[str, str], Tunnel]
) -> list[Machine]:
    """Return the machines of a stack file, with what each was told by interface and name."""
    found: dict[str, Machine] = {}
    for (interface, name), tunnel in tunnels.items():
        mesh, host = interfaces[interface], hosts.get(name) if name in interfaces[interface]["hosts"] else None
        machine = found.setdefault(
            name if host else f"{interface}/{name}", Machine(name if host else f"{interface}/{name}", {})
        )
        machine.tunnels[interface] = tunnel
        own = (mesh.get("members", {}) if host else mesh.get("peers", {})).get(name) or {}
        # A range around its own address is no network behind it.
        inside = [address.ip for address in tunnel.addresses]
        networks = [ip_network(text) for text in own.get("routes", [])]
        machine.networks += [net for net in networks if not any(is_inside(net, address) for address in inside)]
        if host is None:
            machine.forwards_all = True
            if own.get("endpoint"):
                machine.outside.add((*(_endpoint(own["endpoint"]) or ("", 0)), interface))
            continue
        machine.site, machine.local = host.get("site"), set(host.get("localIps", []))
        port = own.get("externalPort") or mesh.get("port", 51824)
        for text in [*host.get("externalIps", []), *filter(None, [host.get("externalName")])]:
            machine.outside.add((str(ip_address(text)) if ":" in text else text, port, interface))
    sites: dict[str, list[Any]] = {}
    for machine in found.values():
        if machine.site:
            sites.setdefault(machine.site, []).extend(machine.networks)
    for machine in found.values():
        if machine.site:
            machine.networks = list(dict.fromkeys(sites[machine.site]))
    return list(found.values())
