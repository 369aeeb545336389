"""Resolve the peering rules of a mesh: which participants are peers, where not all are.

A rule joins a hub with its spokes, or the members of a group with each other; a pair is a group of two. A rule lists
names, `tag:NAME` or `all`. The rules add up, and each joins both ways.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from mesh.config.models import AUTO, Host, Interface, Peering
from mesh.config.validation import join_path
from mesh.errors import PlacedFault, show_name

__all__ = ["TagsByName", "choose_relay", "peering_faults", "resolve", "tags_of"]

_EVERYONE = "all"
_TAG = "tag:"

# The tags of each participant, by name.
TagsByName = Mapping[str, Collection[str]]


class _AnyTag(tuple[str, ...]):
    """The tags of one whose tags are faulty: it may have any, so that no rule is refused for want of one."""

    __slots__ = ()

    def __contains__(self, _: object) -> bool:
        return True


_ANY_TAG = _AnyTag()


def choose_relay(interface: Interface, hosts: Mapping[str, Host]) -> str | None:
    """Return the relay of an interface: the one that it names, or for `auto` its first host that is not roaming."""
    if interface.relay != AUTO:
        return interface.relay
    # By their order in the file, so that a host that is added at the end never becomes the relay.
    return next((host for host in interface.hosts if host in hosts and not hosts[host].is_roaming), None)


def tags_of(interface: Interface, hosts: Mapping[str, Host]) -> dict[str, Collection[str]]:
    """Return the tags of all participants of an interface."""
    of_hosts = {host: _ANY_TAG if hosts[host].is_unsure("tags") else hosts[host].tags for host in interface.hosts}
    of_peers = {
        name: _ANY_TAG if interface.is_unsure_of(name, "tags") else peer.tags for name, peer in interface.peers.items()
    }
    return {**of_hosts, **of_peers}


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


def peering_faults(name: str, interface: Interface, tags: TagsByName) -> Iterator[PlacedFault]:
    """Yield what is wrong with the rules of the interface of that name."""
    # Whoever is not known may be named, have the tag, or be the peer.
    is_everyone = not interface.is_unsure("hosts") and not interface.is_unsure("peers")
    for number, rule in enumerate(interface.peering):
        path = join_path("mesh:interfaces", name, "peering", number)
        forms = {"group": rule.group, "hub": rule.hub, "spokes": rule.spokes}
        if set(given := [form for form, words in forms.items() if words]) not in ({"group"}, {"hub", "spokes"}):
            said = " and ".join(given) or "neither"
            yield PlacedFault(
                path, f"has {said}; give a group, or a hub and its spokes, each a list of names, tag:NAME or all"
            )
        for form, words in forms.items():
            for word in words if is_everyone else ():
                if not _meant([word], tags):
                    what = "a tag that no host of this interface has" if word.startswith(_TAG) else "no such host here"
                    yield PlacedFault(f"{path}.{form}", f"{show_name(word)} is {what}; correct it or remove it")
            if _EVERYONE in words and _EVERYONE in tags and not interface.is_unsure("peering"):
                yield PlacedFault(
                    f"{path}.{form}", "all means everyone, and is the name of one here too; rename that one"
                )
    if not interface.peering or len(tags) < 2 or not is_everyone:
        return
    path = join_path("mesh:interfaces", name, "peering")
    for alone, peers in sorted(resolve(interface.peering, tags).items()):
        # Two of which neither is managed are never joined.
        if not peers or (alone in interface.peers and interface.peers.keys() >= {*peers}):
            what = "a host as peer" if alone in interface.peers else "a peer"
            yield PlacedFault(
                path, f"no rule gives {show_name(alone)} {what}; name it in one, or take it out of the interface"
            )
