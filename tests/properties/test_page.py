"""Whatever hosts and people write, a page is the same page with other words, and one to share names nobody."""

import json
from html.parser import HTMLParser
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.page.render import show_page
from mesh.cli.redaction import Redaction
from tests.strategies import host_names
from tests.unit.paged import amiss, with_text


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))


DOCUMENTATION = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
PLAIN = _Tags(show_page(with_text(amiss(4), "x"))).tags
HOSTILE = st.text("<>&\"'/=`-! \n\\u{}%abcscriptstyle\u2028\u202e\x00\x1b", min_size=1, max_size=40)


@given(HOSTILE)
def test_no_text_becomes_markup(text: str) -> None:
    """It makes no element and no attribute, and the data can be read."""
    html = show_page(with_text(amiss(4), text))
    assert [tag for tag in _Tags(html).tags if tag[0] != "option"] == [tag for tag in PLAIN if tag[0] != "option"]
    data = html.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["meshes"][0]["hosts"]


@given(
    st.ip_addresses() | host_names | st.binary(min_size=32, max_size=32).map(lambda key: f"{key.hex()}="),
    st.sampled_from([" ", ", ", "[", "(", "=", "@", '"', "from "]),
    st.sampled_from(["", " ", ": is gone", ", and", "]:51825", "/64", ".", "; run", ")"]),
)
def test_nothing_that_is_known_is_left_in_a_text_to_share(
    secret: str | IPv4Address | IPv6Address, before: str, after: str
) -> None:
    """Whatever stands around it, as in what hosts and programs say."""
    redaction = Redaction({"host": [secret] if isinstance(secret, str) and len(secret) < 64 else []})
    shared = redaction.text(f"{before}{secret}{after}")
    assert shared == redaction.text(f"{before}{secret}{after}")
    if isinstance(secret, str):
        assert shared == f"{before}{'key' if len(secret) > 64 else 'host'}-1{after}"
    elif not (secret.is_unspecified or secret.is_loopback):
        became = ip_address(shared.removeprefix(before).removesuffix(after))
        assert any(became in net for net in DOCUMENTATION)
