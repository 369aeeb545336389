"""Resolve the peering rules of a mesh: which participants are peers, where not all are.

A rule joins a hub with its spokes, or the members of a group with each other; a pair is a group of two. A rule lists
names, `tag:NAME` or `all`. The rules add up, and each joins both ways.
"""

from collections.abc import Iterator, Mapping, Sequence

from mesh.config.models import AUTO, Host, Interface, Peering
from mesh.config.validation import join_path
from mesh.errors import PlacedFault, show_name

__all__ = ["TagsByName", "choose_relay", "peering_faults", "resolve", "tags_of"]

_EVERYONE = "all"
_TAG = "tag:"

# The tags of each participant, by name.
TagsByName = Mapping[str, Sequence[str]]


def choose_relay(interface: Interface, hosts: Mapping[str, Host]) -> str | None:
    """Return the relay of an interface: the one that it names, or for `auto` its first host that is not roaming."""
    if interface.relay != AUTO:
        return interface.relay
    # By their order in the file, so that a host that is added at the end never becomes the relay.
    return next((host for host in interface.hosts if host in hosts and not hosts[host].is_roaming), None)


def tags_of(interface: Interface, hosts: Mapping[str, Host]) -> dict[str, Sequence[str]]:
    """Return the tags of all participants of an interface; none of a host that is not described."""
    of_hosts = {host: hosts[host].tags if host in hosts else () for host in interface.hosts}
    return {**of_hosts, **{name: peer.tags for name, peer in interface.peers.items()}}


def _meant(words: Sequence[str], tags: TagsByName) -> set[str]:
    found: set[str] = set()
    for word in words:
        if word == _EVERYONE:
            found |= tags.keys()
        elif word.startswith(_TAG):
            found |= {name for name, own in tags.items() if word.removeprefix(_TAG) in own}
        elif word in tags:
            found.add(word)
    return found


def resolve(rules: Sequence[Peering], tags: TagsByName) -> dict[str, tuple[str, ...]]:
    """Return the peers of each participant, sorted, by its name."""
    peers: dict[str, set[str]] = {name: set() for name in tags}
    for rule in rules:
        hubs, others = _meant(rule.hub or rule.group, tags), _meant(rule.spokes or rule.group, tags)
        for hub in hubs:
            peers[hub] |= others
        for other in others:
            peers[other] |= hubs
    return {name: tuple(sorted(own - {name})) for name, own in peers.items()}


def peering_faults(interface: str, rules: Sequence[Peering], tags: TagsByName) -> Iterator[PlacedFault]:
    """Yield what is wrong with the rules of one interface."""
    for number, rule in enumerate(rules):
        path = join_path("mesh:interfaces", interface, "peering", number)
        forms = {"group": rule.group, "hub": rule.hub, "spokes": rule.spokes}
        if set(given := [form for form, words in forms.items() if words]) not in ({"group"}, {"hub", "spokes"}):
            said = " and ".join(given) or "neither"
            yield PlacedFault(
                path, f"has {said}; give a group, or a hub and its spokes, each a list of names, tag:NAME or all"
            )
        for form, words in forms.items():
            for word in words:
                if not _meant([word], tags):
                    what = "a tag that no host of this interface has" if word.startswith(_TAG) else "no such host here"
                    yield PlacedFault(f"{path}.{form}", f"{show_name(word)} is {what}; correct it or remove it")
    alone = sorted(name for name, peers in resolve(rules, tags).items() if not peers) if rules and len(tags) > 1 else []
    for name in alone:
        path = join_path("mesh:interfaces", interface, "peering")
        yield PlacedFault(
            path, f"no rule gives {show_name(name)} a peer; name it in one, or take it out of the interface"
        )
