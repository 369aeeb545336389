"""All that is known of one host, in words with a label each."""

from collections.abc import Iterator
from datetime import datetime

from mesh.cli.status_rows import HostStatus
from mesh.config.connection import Connection
from mesh.doctor.answers import MeshAnswers
from mesh.plan.roster import Participant
from mesh.remote.login import is_post_quantum

__all__ = ["days_between", "host_notes", "peer_notes"]

_MINUTE = "%Y-%m-%d %H:%M UTC"

Notes = Iterator[tuple[str, str]]


def days_between(earlier: datetime, later: datetime) -> str:
    """Return how far two moments are apart."""
    days = abs((later - earlier).days)
    return "less than a day" if days < 1 else "1 day" if days == 1 else f"{days} days"


def _of_plan(entry: Participant) -> Notes:
    yield "address", ", ".join(filter(None, (entry["address"], entry.get("ipv4"))))
    also = f", or {entry['otherEndpoint']}" if entry.get("otherEndpoint") else ""
    yield "endpoint", f"{entry['endpoint']}{also}" if entry["endpoint"] else "none: it is roaming, and speaks first"
    if entry.get("site"):
        local = f", where others reach it at {entry['localEndpoint']}" if entry.get("localEndpoint") else ""
        yield "site", f"{entry['site']}{local}"
    if entry.get("routes"):
        hidden = ", with its own address as source" if entry.get("masquerade") else ""
        yield "networks behind it", f"{', '.join(entry['routes'])}{hidden}"
    if entry.get("exitNode"):
        yield "exit node", f"it reaches everything outside the mesh over {entry['exitNode']}"


def peer_notes(entry: Participant, tags: tuple[str, ...]) -> Notes:
    """Yield what the plan has of an unmanaged peer."""
    yield "kind", "a peer that is not managed: no run reaches it, and what it sees is not known"
    yield from _of_plan(entry)
    if tags:
        yield "tags", ", ".join(tags)
    yield "public key", entry["publicKey"]


def host_notes(answers: MeshAnswers, status: HostStatus, tags: tuple[str, ...], now: datetime) -> Notes:
    """Yield what the state, the host and its peers say of a host; nothing that is secret."""
    host, pairs = status.host, answers.pairs
    entry = answers.roster["members"][host]
    # Of any other state, what was found tells why.
    if status.state == "pending":
        yield "why", "; ".join(status.reasons)
    yield from _of_plan(entry)
    if tags:
        yield "tags", ", ".join(tags)
    if pairs.is_relay(host):
        yield "relay", "pairs that cannot meet talk over it"
    if users := pairs.exit_users(host):
        yield "exit node of", ", ".join(users)
    yield from _of_itself(answers, host)
    yield "system", status.system
    yield "ssh", _login(entry["ssh"], status.key_exchange)
    yield "public key", status.public_key
    yield from _of_key(status, now)


def _of_itself(answers: MeshAnswers, host: str) -> Notes:
    facts, examined = answers.facts.get(host), answers.examinations.get(host)
    if facts and facts.port:
        yield "runs", f"UDP port {facts.port}, MTU {facts.mtu}, {len(facts.peers)} peers in WireGuard"
    if host in answers.offsets:
        ahead = answers.offsets[host]
        which = "ahead of" if ahead > 0 else "behind"
        yield "clock", "right" if abs(ahead) < 2 else f"{abs(ahead):.0f} s {which} the machine that asked"
    if examined and examined.own:
        yield "other addresses", ", ".join(f"{address} on {device}" for device, address in examined.own)


def _of_key(status: HostStatus, now: datetime) -> Notes:
    if status.key_made:
        made = datetime.fromisoformat(status.key_made)
        yield "key made", f"{made:{_MINUTE}}, {days_between(made, now)} ago"
    if status.key_expires:
        end = datetime.fromisoformat(status.key_expires)
        apart = days_between(end, now)
        when = f"in {apart}" if end > now else f"{apart} ago, so the next pulumi up makes a new one"
        yield "key expires", f"{end:{_MINUTE}}, {when}"


def _login(ssh: Connection, key_exchange: str) -> str:
    over = f", over {ssh['bastion']['address']}" if ssh.get("bastion") else ""
    kind = "post-quantum" if is_post_quantum(key_exchange) else "classical"
    said = f"; key exchange {key_exchange}, {kind}" if key_exchange else ""
    return f"{ssh['user']} at {ssh['address']}, port {int(ssh['port'])}{over}{said}"
