"""Whatever hosts and people write, a page is the same page with other words."""

import json
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.page.render import show_page
from tests.unit.paged import faulty, with_text


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))


PLAIN = _Tags(show_page(with_text(faulty(4), "x"))).tags
HOSTILE = st.text("<>&\"'/=`-! \n\\u{}%abcscriptstyle\u2028\u202e\x00\x1b", min_size=1, max_size=40)


@given(HOSTILE)
def test_no_text_becomes_markup(text: str) -> None:
    """It makes no element and no attribute, and the data can be read."""
    html = show_page(with_text(faulty(4), text))
    assert [tag for tag in _Tags(html).tags if tag[0] != "option"] == [tag for tag in PLAIN if tag[0] != "option"]
    data = html.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["meshes"][0]["hosts"]
