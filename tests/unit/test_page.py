"""What is on the page of a mesh, and that nothing in it can do anything but be read."""

import json
import re
import socket
import struct
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from mesh.cli.page.content import Page, PageHost, every_text
from mesh.cli.page.describe import describe_mesh
from mesh.cli.page.render import policy, show_page
from mesh.cli.page.serve import PageServer
from mesh.cli.page.site_map import draw_map
from mesh.errors import MeshError, visible
from mesh.remote.reports import Difference, Facts
from tests.unit.paged import NOW, answers, described, faulty, paged, public_key, recorded, redaction, with_text

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u2028\x1b]0;owned\x07"
VOID = {"meta", "input", "img", "link", "br"}


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of each script and style."""

    def __init__(self, html: str) -> None:
        """Read the page."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag in ("script", "style"):
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        """Keep the text by where it is."""
        if self.elements and self.elements[-1][0] in ("script", "style") and self.cdata_elem:
            self.scripts[-1] += data
        else:
            self.texts.append(data)


def data_of(html: str) -> dict[str, list[dict[str, list[list[object]]]]]:
    """Return what the script of a page reads."""
    found: dict[str, list[dict[str, list[list[object]]]]] = json.loads(Elements(html).scripts[1])
    return found


@pytest.mark.parametrize("count", [4, 30, pytest.param(100, marks=pytest.mark.thorough)])
def test_every_pair_is_in_the_matrix_without_a_script(count: int) -> None:
    """With what was found first, in doctor's words, and every host below."""
    page = faulty(count)
    html = show_page(page)
    (mesh,) = page.meshes
    cells = re.findall(r"<td class=(\w)>", html)
    assert len(cells) == count * (count + 1)
    assert cells.count("d") == count
    assert cells.count("s") == mesh.count("s") > 0
    assert html.index('class="finding"') < html.index("<table") < html.index("<details id=")
    assert "The host cannot be asked" in html
    assert "cannot be reached (No route to host)" in html
    assert "check ssh.address and ssh.port" in html
    assert html.count("<details id=") == count + 1
    assert all(f">{host.name}</span>" in html for host in mesh.hosts)
    assert len(html) < 1_300_000


def test_a_mesh_that_is_well_says_so() -> None:
    """In one word at the top."""
    page = paged(4)
    assert page.is_well
    html = show_page(page)
    assert '<p class="verdict well">healthy</p>' in html
    assert 'class="finding"' not in html


def test_a_host_says_all_that_is_known_of_it() -> None:
    """From the state, the stack file, and itself."""
    mesh = described(10, tags={"carol": ("edge", "db")})
    notes = dict(next(host for host in mesh.hosts if host.name == "carol").notes)
    assert notes == {
        "address": "fd00:2::1/64", "endpoint": "203.0.113.2:51825", "site": "fra", "tags": "edge, db",
        "runs": "UDP port 51825, MTU 1420, 10 peers in WireGuard",
        "clock": "right", "other addresses": "10.1.0.2/24 on eth0", "system": "x86_64-linux",
        "ssh": "ada at carol.corp.example, port 22", "public key": public_key(1),
        "key made": "2026-04-24 10:00 UTC, 7 days ago", "key expires": "2026-10-21 10:00 UTC, in 173 days",
    }  # fmt: skip
    assert [host.site for host in mesh.members][-1] == ""


def test_a_dead_host_is_unreachable_and_one_whose_tunnel_is_gone_has_drifted() -> None:
    """The first cannot be asked, and the second says so itself."""
    state = recorded(4)
    said = answers(state, dead=["dora"])
    gone = {**said.facts, "carol": Facts(differences=(Difference("absent"),))}
    mesh = describe_mesh(state, replace(said, facts=gone), {}, NOW)
    assert {host.name: host.state for host in mesh.hosts} == {
        "bernard": "up", "carol": "drifted", "dora": "unreachable", "edgeworth": "up", "phone": "not-managed",
    }  # fmt: skip
    assert [(found.code, found.host) for found in mesh.findings] == [("W01", "dora"), ("W03", "carol")]
    assert mesh.states == (".usum", "k.kkk", "kk.kk", "uus.c")


def test_a_pending_host_is_well_and_says_why() -> None:
    """It lags behind, and nobody has to do anything now."""
    state = recorded(4)
    state.rollout["pending"].append("dora")
    mesh = describe_mesh(state, answers(state, dead=["dora"]), {}, NOW)
    dora = next(host for host in mesh.hosts if host.name == "dora")
    assert dora.state == "pending"
    assert dict(dora.notes)["why"].startswith("it was left out, and gets its change in the first pulumi up")
    assert mesh.is_well
    assert mesh.findings == ()


def test_only_our_script_and_style_may_run() -> None:
    """Each by its digest, and nothing may be asked for; a page that is served may ask its own server."""
    html = show_page(faulty(4))
    found = Elements(html)
    (given,) = (of["content"] for tag, of in found.elements if of.get("http-equiv") == "Content-Security-Policy")
    digests = [f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}" for text in found.scripts]
    style, _, script = digests
    assert given == (
        f"default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action 'none'"
    )
    assert "connect-src 'self'" in policy(served=True)
    for _, of in found.elements:
        assert not {"src", "style", "action"} & of.keys()
        assert not [name for name in of if name.startswith("on")]
        assert of.get("href", "#").startswith("#")


def test_what_hosts_and_people_write_is_only_text() -> None:
    """Wherever it stands: the elements are those of a page with other words, and control characters are shown."""
    page = faulty(4)
    tame, hostile = (Elements(show_page(with_text(page, text))) for text in ("x", HOSTILE))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in tame.elements]
    assert [sorted(of) for _, of in hostile.elements] == [sorted(of) for _, of in tame.elements]
    html = show_page(with_text(page, HOSTILE))
    assert not {"\x1b", "\x07", "\u2028"} & set(html)
    assert any(HOSTILE[:40] in text for text in hostile.texts)
    assert data_of(html)["meshes"][0]["hosts"][0][0] == f"{visible(HOSTILE)}0"
    assert not set("<>&") & set(hostile.scripts[1])


def test_a_page_to_share_has_no_name_address_or_key_of_the_mesh() -> None:
    """Whatever the text, and in its title; what is faulty is still told."""
    page = faulty(30)
    shared = every_text(page, redaction(recorded(30)).text)
    html = show_page(shared)
    for word in ("bernard", "klavier", "edgeworth", "testwg", "production", "fd00", "ada at", "corp.example", "QQQQ"):
        assert word in show_page(page)
        assert word not in html
    assert not re.search(
        r"\b(?:fra|ams|sgp)\b", re.sub(r"<style.*?</style>|<script>.*?</script>", "", html, flags=re.DOTALL)
    )
    assert "name-1.example" in html
    assert "2001:db8:" in html
    assert [found.code for found in shared.meshes[0].findings] == [found.code for found in page.meshes[0].findings]
    assert shared.meshes[0].states == page.meshes[0].states


@pytest.mark.parametrize("count", [1, 2, 4, 16, 30, pytest.param(100, marks=pytest.mark.thorough)])
def test_nothing_lies_over_anything_on_the_map(count: int) -> None:
    """Boxes are apart, hosts are in theirs, each once, and all is inside the picture."""
    mesh = described(count)
    drawn = draw_map(mesh)
    for box, other in ((one, two) for place, one in enumerate(drawn.boxes) for two in drawn.boxes[:place]):
        apart = (
            box.x + box.width <= other.x, other.x + other.width <= box.x,
            box.y + box.height <= other.y, other.y + other.height <= box.y,
        )  # fmt: skip
        assert any(apart), (box, other)
    assert sorted(dot.number for box in drawn.boxes for dot in box.dots) == list(range(count + 1))
    for box in drawn.boxes:
        assert drawn.x <= box.x
        assert box.x + box.width <= drawn.x + drawn.width
        assert all(box.y < dot.y < box.y + box.height and box.x < dot.x < box.x + box.width for dot in box.dots)
        assert all(one != two for one, two in pairwise((dot.x, dot.y) for dot in box.dots))


def test_a_dead_host_does_not_hide_another_silent_pair_on_the_map() -> None:
    """It is silent for everybody, so the lines of its site tell of the living."""
    mesh = described(30, dead=["carol"], silent=[("dora", "iris")])
    silent = [link for link in draw_map(mesh).links if link.worst == "s"]
    assert len(silent) == 1
    assert silent[0].title.startswith("2 silent, ")


@contextmanager
def served(page: Page) -> Iterator[PageServer]:
    """Serve a page."""
    with PageServer(lambda: page, 0, 5) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.end()
        thread.join()


def ask(server: PageServer, path: str = "/", host: str = "") -> tuple[int, str, dict[str, str]]:
    """Return status, text and headers of an answer."""
    address = f"127.0.0.1:{server.server_port}"
    request = urllib.request.Request(f"http://{address}{path}", headers={"Host": host or address})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


class Looked(tuple[PageHost, ...]):
    """Hosts that count how often all of them are gone through."""

    times = 0

    def __iter__(self) -> Iterator[PageHost]:
        """Count it."""
        type(self).times += 1
        return super().__iter__()


def test_a_map_of_hosts_that_each_have_a_site_goes_through_all_hosts_a_few_times_only() -> None:
    """For each pair of sites it would be the cube of the hosts; the lines alone are the square."""
    count = 60
    mesh = described(count)
    hosts = Looked(replace(host, site=f"site {number}") for number, host in enumerate(mesh.hosts))
    Looked.times = 0
    drawn = draw_map(replace(mesh, hosts=hosts))
    assert len(drawn.boxes) == count + 1
    assert len(drawn.links) > count * (count - 1) / 4
    assert Looked.times < 20


def test_the_server_gives_the_page_to_who_calls_it_by_its_name() -> None:
    """A name that another site gave to this address gets nothing, and nobody gets another file."""
    page = paged(4)
    with served(page) as server:
        assert server.server_address[0] == "127.0.0.1"
        status, html, headers = ask(server)
        assert (status, html) == (200, show_page(page, every=5))
        assert headers["Content-Security-Policy"] == policy(served=True)
        assert ask(server, "/made")[:2] == (200, page.made)
        assert ask(server, host=f"localhost:{server.server_port}")[0] == 200
        for host in ("rebound.example", f"rebound.example:{server.server_port}", "127.0.0.1"):
            assert ask(server, host=host)[0] == 403
        assert ask(server, "/../etc/passwd")[0] == 404


def test_the_hosts_are_asked_again_while_somebody_looks() -> None:
    """A failure is told and leaves the page; where nobody looks, nobody is asked."""
    asked: list[int] = []
    said: list[str] = []

    def look() -> Page:
        asked.append(1)
        if len(asked) == 2:
            raise MeshError("pulumi stack: did not end within 120 seconds; run again")
        if len(asked) == 3:
            raise FileNotFoundError(2, "No such file or directory", "/usr/bin/pulumi")
        return replace(paged(4), made=f"{len(asked)}")

    with PageServer(look, 0, 0) as server:
        threads = [
            threading.Thread(target=server.serve_forever),
            threading.Thread(target=server.renew, args=[said.append]),
        ]
        for thread in threads:
            thread.start()
        assert ask(server, "/made")[1] == "1"
        while ask(server, "/made")[1] == "1":
            pass
        assert said == [
            "warning: pulumi stack: did not end within 120 seconds; run again",
            "warning: [Errno 2] No such file or directory: '/usr/bin/pulumi'",
        ]
        count = len(asked)
        server.end()
        for thread in threads:
            thread.join()
        assert len(asked) <= count + 1


def test_a_browser_that_goes_away_leaves_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    """In the middle of a request, or of the page."""
    with served(paged(4)) as server:
        for said in ("", "GET / HT", f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n"):
            client = socket.create_connection(("127.0.0.1", server.server_port))
            client.sendall(said.encode())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        assert ask(server)[0] == 200
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_told() -> None:
    """With what to do."""
    with served(paged(1)) as server, pytest.raises(MeshError, match="Address already in use; give another one, or 0"):
        PageServer(lambda: paged(1), server.server_port, 5)
