"""The prefixes inside a mesh that was found, and the participants that claim them."""

from collections import defaultdict
from collections.abc import Iterator

from mesh.wireguard.addressing import Network

__all__ = ["Claims"]


class Claims:
    """Prefixes and their claimants. A search takes as many steps as there are prefix lengths, not prefixes."""

    def __init__(self) -> None:
        """Begin with none."""
        self._claimants: defaultdict[Network, list[str]] = defaultdict(list)
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}

    def add(self, prefix: Network, claimant: str) -> None:
        """Add one claim."""
        self._claimants[prefix].append(claimant)
        self._lengths[prefix.version].add(prefix.prefixlen)

    def __iter__(self) -> Iterator[tuple[Network, str]]:
        """Yield every claim."""
        yield from ((prefix, each) for prefix, claimants in self._claimants.items() for each in claimants)

    def around(self, prefix: Network) -> Iterator[tuple[Network, str]]:
        """Yield the claims to a prefix or to one that holds it, the narrowest first."""
        for length in sorted(self._lengths[prefix.version], reverse=True):
            if length <= prefix.prefixlen:
                wider = prefix.supernet(new_prefix=length)
                yield from ((wider, each) for each in self._claimants.get(wider, ()))
