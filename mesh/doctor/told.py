"""What was counted on the way of a silent pair, in words, for where no cause was found."""

from mesh.doctor.trail import Trail

__all__ = ["say_counts"]


def say_counts(way: Trail) -> tuple[str, ...]:
    """Return all that was counted on one way."""
    host, peer = way.host, way.peer
    if way.is_uncounted():
        near, far = way.probe(host), way.probe(peer)
        out, came = near.sessions.get(peer) if near else None, far.sessions.get(host) if far else None
        return (
            f"nothing could be counted between {host} and {peer}, since a host has no nft",
            *([f"WireGuard on {host} sent {out.sent} bytes to {peer}"] if out else []),
            *([f"WireGuard on {peer} took {came.received} bytes from {host}"] if came else []),
        )
    echoes = ", ".join(
        f"{word} {way.count(one, word, other) or 0}"
        for one, other, words in (
            (host, peer, ("ask", "ask-sent")), (peer, host, ("ask-in", "ask-got", "reply")),
            (host, peer, ("reply-in", "reply-got")),
        )
        for word in words
    )  # fmt: skip
    return (_messages(way), f"pings: {echoes}")


def _messages(way: Trail) -> str:
    """Return what became of WireGuard's messages, or why nobody knows."""
    host, peer, unprobed = way.host, way.peer, way.answers.unprobed
    if lost := [
        f"nothing was counted on {name}: {unprobed[name]}" for name in sorted((host, peer)) if name in unprobed
    ]:
        return ", and ".join(lost)
    made, sent = (way.count(host, word, peer) for word in ("out", "sent"))
    if sent is None:
        return f"{host} knew no endpoint of {peer}, so that messages between the two were not told from others"
    arrived = f"{way.arrived('in')} came to {peer}, {way.arrived('got')} got to WireGuard there"
    return f"of WireGuard's messages {host} made {made} and sent {sent}, {arrived}"
