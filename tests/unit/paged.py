"""Meshes of any size as the page has them, from answers as hosts give them, with faults where a test wants them."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_interface
from typing import Any

from mesh.cli.page.asking import redaction_of
from mesh.cli.page.content import Page, PageMesh
from mesh.cli.page.describe import describe_mesh
from mesh.cli.pulumi_cli import RecordedMesh
from mesh.cli.redaction import Redaction
from mesh.doctor.answers import MeshAnswers
from mesh.plan.pairs import Pairs
from mesh.remote.examinations import Examination, Measurement
from mesh.remote.reports import Difference, Facts, PeerFacts

NOW = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
PORT = 51825
DIGEST = "d" * 64
NAMES = ("bernard", "carol", "dora", "edgeworth", "franziska", "gumshoe", "hobo", "iris", "juniper", "klavier")
SITES = ("ams", "fra", "nyc", "sgp", "syd", "gru", "lhr")
MUTE = Measurement(3, 0, None, None, None, 0)


def name_of(number: int) -> str:
    """Return the name of a host by its number."""
    return NAMES[number] if number < len(NAMES) else f"{NAMES[number % len(NAMES)]}-{number // len(NAMES)}"


def public_key(number: int) -> str:
    """Return a text with the form of a public key, which no other host has."""
    return f"{number:04d}{'Q' * 39}="


def recorded(count: int, **changes: Any) -> RecordedMesh:
    """Return what the state has of so many hosts in sites, every ninth of them roaming, and of a phone."""
    members: dict[str, Any] = {}
    for number in range(count):
        roaming = number % 9 == 3
        site = {} if count < 10 else {"site": SITES[number % len(SITES)]} if not roaming else {}
        members[name_of(number)] = {
            "publicKey": public_key(number), "address": f"fd00:{number + 1:x}::1/64",
            "endpoint": "" if roaming else f"203.0.{113 + number // 250}.{number % 250 + 1}:{PORT}",
            "keepalive": 25 if roaming else 0, "system": "x86_64-linux", **site,
            "ssh": {"address": f"{name_of(number)}.corp.example", "port": 22, "user": "ada", "sudo": True,
                    "hostKey": f"ssh-ed25519 {public_key(number)}"},
        }  # fmt: skip
    phone = {"publicKey": public_key(9999), "address": "fd00:ffff::1/64", "endpoint": "", "keepalive": 25}
    rollout: Any = {
        "roster": {
            "interface": "testwg", "port": PORT, "mtu": 1420, "deadline": 60, "unreachable": "stop", "forgotten": [],
            "members": members, "peers": {"phone": phone}, **changes,
        },
        "digest": DIGEST, "systems": {}, "pending": [], "notWiped": [],
    }  # fmt: skip
    keys: Any = {
        name_of(number): {
            "publicKey": public_key(number), "maxKeyAge": 180,
            "createdAt": f"{NOW - timedelta(days=number * 7 % 176):%Y-%m-%dT%H:%M:%SZ}",
        }
        for number in range(count)
    }  # fmt: skip
    return RecordedMesh(frozenset(members), frozenset(), rollout, "2026-04-30T12:00:00Z", keys)


def answers(
    mesh: RecordedMesh, dead: Collection[str] = (), silent: Collection[tuple[str, str]] = (), drifted: str = ""
) -> MeshAnswers:
    """Return what the hosts say: those that are dead nothing, and pairs that are silent have no answer."""
    roster = mesh.rollout["roster"]
    pairs = Pairs(roster)
    hosts = [host for host in roster["members"] if host not in dead]
    facts, measured, examined = {}, {}, {}
    for place, host in enumerate(hosts):
        links = {
            pairs.participants[peer]["publicKey"]: PeerFacts(
                pairs.endpoint(host, peer) or "198.51.100.7:40000", ",".join(pairs.allowed_ips(host, peer)),
                int(NOW.timestamp()) - 40, 12_000_000, 3_400_000_000, pairs.keepalive(host, peer),
            )
            for peer in pairs.links_of(host)
        }  # fmt: skip
        own = roster["members"][host]
        facts[host] = Facts(
            own["publicKey"], PORT, 1420, (own["address"],), True, DIGEST, links,
            (Difference("edited", "/etc/wireguard/testwg.conf"),) if host == drifted else (),
        )  # fmt: skip
        measured[host] = {
            peer: MUTE
            if peer in dead or {(host, peer), (peer, host)} & set(silent)
            else Measurement(3, 3, 0.8 + place % 7 * 9, 1.1 + place % 7 * 9, 1.4 + place % 7 * 9, 1420)
            for peer in pairs.peers_of(host)
            if pairs.turn(host, peer) != "never" or pairs.relay_between(host, peer)
        }
        device = ip_interface(f"10.1.{place // 250}.{place % 250 + 1}/24")
        examined[host] = Examination(int(NOW.timestamp()), own=(("eth0", device),))
    gone = dict.fromkeys(dead, "cannot be reached (No route to host); check ssh.address and ssh.port")
    return MeshAnswers(mesh.rollout, gone, facts, examined, dict.fromkeys(hosts, 0.1), measured)


def described(count: int, tags: Any = None, **faults: Any) -> PageMesh:
    """Return a mesh of so many hosts as the page has it."""
    state = recorded(count)
    return describe_mesh(state, answers(state, **faults), tags or {}, NOW)


def paged(count: int, **faults: Any) -> Page:
    """Return a page of one mesh of so many hosts."""
    return Page("production", (described(count, **faults),), "2026-05-01T10:00:00Z")


@cache
def faulty(count: int) -> Page:
    """Return one with a host that is dead, one that differs, and pairs that are silent."""
    far = name_of(count - 2)
    tags = {name_of(number): ("edge",) if number % 3 else ("core", "db") for number in range(count)}
    silent = [("bernard", far)] + ([("gumshoe", "juniper"), ("gumshoe", "iris")] if count > 20 else [])
    return paged(count, tags=tags, dead=[name_of(count - 1)], silent=silent, drifted="carol" if count > 4 else "")


def redaction(mesh: RecordedMesh) -> Redaction:
    """Return what hides whose it is."""
    return redaction_of("production", {"testwg": mesh}, {"testwg": {"bernard": ("secret-tag",)}})


def with_text(page: Page, text: str) -> Page:
    """Return a page where every text that hosts or people wrote is this one."""
    (mesh,) = page.meshes
    hosts = tuple(
        replace(host, name=f"{text}{number}", site=text, tags=(text,), endpoint=text, address=text,
                notes=((text, text),))
        for number, host in enumerate(mesh.hosts)
    )  # fmt: skip
    findings = tuple(
        replace(found, host=f"{text}0", peer=f"{text}1", words=text, evidence=(text,), repair=text)
        for found in mesh.findings
    )
    rows = tuple(tuple(each and replace(each, endpoint=text) for each in row) for row in mesh.directions)
    changed = replace(mesh, interface=text, hosts=hosts, findings=findings, directions=rows, not_wiped=(text,))
    return replace(page, stack=text, meshes=(changed,))
