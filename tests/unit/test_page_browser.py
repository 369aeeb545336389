"""The page in a browser: drawn, clicked, and asking nobody for anything."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.cli.page.render import show_page
from mesh.cli.page.serve import PageServer
from tests.browser import Browser, open_browser
from tests.unit.paged import faulty, paged, with_text

WIDTHS = (400, 1400)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser for all tests."""
    with open_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """Return the browser; whatever a test did, nothing was asked for but the page, and nothing complained."""
    browser.requests.clear()
    browser.said.clear()
    browser.look(1400)
    yield browser
    assert {url.partition(":")[0] for url in browser.requests} == {"file"}
    assert {url.partition("#")[0] for url in browser.requests} == {f"file://{tmp_path}/page.html"}
    assert browser.said == []


def put(folder: Path, html: str) -> str:
    """Write the page, and return where it is."""
    (folder / "page.html").write_text(html, encoding="utf-8")
    return f"file://{folder}/page.html"


def text(browser: Browser, selector: str) -> str:
    """Return what is to be read in the first element that fits; empty where it is hidden."""
    found: str = browser.run(
        f"(() => {{ const found = document.querySelector({selector!r});"
        "return found?.getClientRects().length ? found.innerText : ''; })()"
    )
    return found


def shown(browser: Browser, selector: str) -> int:
    """Return how many elements that fit are to be seen."""
    script = f"[...document.querySelectorAll({selector!r})].filter((each) => each.getClientRects().length).length"
    found: int = browser.run(script)
    return found


@pytest.mark.parametrize("count", [4, 30, 100])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_is_drawn_on_every_window(visit: Browser, tmp_path: Path, count: int, width: int, *, dark: bool) -> None:
    """Nothing is wider than the window but what scrolls by itself, and a hundred hosts have names that can be read."""
    visit.look(width, dark=dark)
    visit.visit(put(tmp_path, show_page(faulty(count))))
    visit.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert visit.run("document.documentElement.scrollWidth") == width
    assert shown(visit, "table.matrix td[class]") == count * (count + 1)
    assert shown(visit, ".map .dot") == count + 1
    high, font = visit.run(
        "(() => { const head = document.querySelector('.matrix tbody th');"
        "return [head.getBoundingClientRect().height, parseFloat(getComputedStyle(head).fontSize)]; })()"
    )
    assert high >= 11
    assert font >= 10
    ground = visit.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(18, 21, 23)") == dark


def test_a_hundred_hosts_fit_a_window(visit: Browser, tmp_path: Path) -> None:
    """All columns of the matrix are seen at once on a wide one."""
    visit.visit(put(tmp_path, show_page(faulty(100))))
    wide, area = visit.run(
        "(() => { const table = document.querySelector('.matrix');"
        "return [table.offsetWidth, table.parentNode.clientWidth]; })()"
    )
    assert wide <= area


def test_a_pair_is_told_in_words(visit: Browser, tmp_path: Path) -> None:
    """From a click on its cell, in both directions, with what was found; Escape closes."""
    visit.visit(put(tmp_path, show_page(faulty(4))))
    visit.click(".matrix tbody tr:nth-child(1) td:nth-child(4)")
    said = text(visit, "#panel")
    for words in (
        "bernard and dora", "W36", "bernard → dora", "dora does not answer bernard.", "None of 3 pings was answered.",
        "It sends to 203.0.113.3:51825, as planned.", "The latest handshake was 40 s before this was asked.",
        "It has sent 3.4 GB and received 12.0 MB.", "bernard does not answer dora.",
    ):  # fmt: skip
        assert words in said
    assert "W01" not in said
    visit.press("Escape")
    assert text(visit, "#panel") == ""
    visit.click(".matrix tbody tr:nth-child(1) td:nth-child(3)")
    said = text(visit, "#panel")
    assert "bernard reaches carol." in said
    assert "3 of 3 pings were answered, in 1.1 ms (0.8 ms to 1.4 ms)." in said
    assert "Packets of full size pass, 1420 bytes." in said


def test_a_host_is_told_in_words(visit: Browser, tmp_path: Path) -> None:
    """From a click on its name, wherever that stands; its peers lead on."""
    visit.visit(put(tmp_path, show_page(faulty(4))))
    for place in (".finding a.go", ".matrix tbody tr:nth-child(4) th", ".dot[data-number='3']"):
        visit.click(place)
        said = text(visit, "#panel")
        for words in ("edgeworth", "unreachable", "The host cannot be asked", "fd00:4::1/64", "key made"):
            assert words in said, place
        visit.press("Escape")
    visit.click(".dot[data-number='0']")
    assert shown(visit, ".rays .ray") == 4
    visit.click("#panel .list a.go")
    assert "dora does not answer bernard." in text(visit, "#panel")
    assert visit.run("location.hash") == "#at=testwg%2Fbernard%2Fdora"


def test_the_row_and_the_column_of_a_cell_are_marked(visit: Browser, tmp_path: Path) -> None:
    """And a line says what it is."""
    visit.visit(put(tmp_path, show_page(faulty(30))))
    visit.click(".matrix tbody tr:nth-child(5) td:nth-child(3)")
    names = "[...document.querySelectorAll('.matrix th.at')].map((head) => head.textContent)"
    assert visit.run(names) == ["franziska-1", "carol"]
    assert shown(visit, ".band") == 3
    assert text(visit, ".now").startswith("carol (fra) → franziska-1 (ams): carol reaches franziska-1.")


def test_all_can_be_done_with_the_keyboard(visit: Browser, tmp_path: Path) -> None:
    """The next finding, the matrix with its arrows, the panel, the search, the theme."""
    visit.visit(put(tmp_path, show_page(faulty(30))))
    visit.press("n", "n")
    assert visit.run("document.activeElement.querySelector('.code').textContent") == "W31"
    visit.run("document.querySelector('.scroll').focus()")
    visit.press("ArrowRight", "ArrowDown", "ArrowDown", "Enter")
    assert "iris → franziska-1" in text(visit, "#panel")
    assert visit.run("document.activeElement.id") == "panel"
    visit.press("Escape")
    assert visit.run("document.activeElement.matches('.scroll')")
    visit.press("t", "t")
    assert visit.run("document.documentElement.dataset.theme") == "dark"
    visit.press("t", "/", "d", "o", "r", "a")
    assert text(visit, "#count") == "3 of 31"


def test_a_filter_leaves_the_hosts_that_fit(visit: Browser, tmp_path: Path) -> None:
    """By site, tag and state: rows, hosts, and what was found; columns if both ends are to fit."""
    where = put(tmp_path, show_page(faulty(30)))
    visit.visit(f"{where}#site=fra&tag=edge")
    assert text(visit, "#count") == "4 of 31"
    assert shown(visit, ".matrix tbody tr") == shown(visit, ".hosts details") == 4
    assert shown(visit, ".matrix thead th") == 31
    visit.click("#both")
    assert shown(visit, ".matrix thead th") == 4
    visit.click("#clear")
    assert shown(visit, ".matrix tbody tr") == 30
    visit.run("(() => { const state = document.querySelector('#state'); state.value = 'unreachable';"
              "state.dispatchEvent(new Event('input', {bubbles: true})); })()")  # fmt: skip
    assert shown(visit, ".matrix tbody tr") == 1
    assert shown(visit, ".findings .finding") == 1
    assert visit.run("location.hash") == "#state=unreachable"


def test_names_from_hosts_are_only_text(visit: Browser, tmp_path: Path) -> None:
    """Also in the panel, which the script makes."""
    page = with_text(faulty(4), "<img src=http://192.0.2.1/x onerror=document.title='owned'>")
    visit.visit(put(tmp_path, show_page(page)))
    for place in (".matrix tbody tr:nth-child(1) td:nth-child(4)", ".finding a.go", ".dot"):
        visit.click(place)
        assert "<img src=" in text(visit, "#panel")
        visit.press("Escape")
    assert visit.run("document.querySelectorAll('img').length") == 0
    assert "owned'>" in visit.run("document.title")


def test_it_prints_all_of_the_matrix(visit: Browser, tmp_path: Path) -> None:
    """On pages of paper, light, without what is for the screen."""
    visit.look(1400, dark=True)
    visit.visit(put(tmp_path, show_page(faulty(100))))
    visit.call("Emulation.setEmulatedMedia", media="print")
    assert shown(visit, ".filter, #theme, .now") == 0
    assert visit.run("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert visit.run("document.querySelector('.matrix').offsetWidth") < 1060
    visit.call("Emulation.setEmulatedMedia", media="screen")


def test_a_page_without_its_script_has_all_but_the_panel(visit: Browser, tmp_path: Path) -> None:
    """Whoever forbids scripts sees the matrix, the map, and every host with a click."""
    visit.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        visit.visit(put(tmp_path, show_page(faulty(30))))
        assert shown(visit, ".matrix td[class]") == 30 * 31
        assert shown(visit, ".filter, #theme") == 0
        visit.click(".hosts details:nth-child(3) summary")
        assert shown(visit, ".hosts details[open] dl dt") > 8
    finally:
        visit.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_page_that_is_served_renews_itself_and_keeps_what_is_open(browser: Browser) -> None:
    """It asks its own server alone."""
    newer = replace(paged(4), made="2026-05-01T10:01:00Z")
    browser.requests.clear()
    browser.said.clear()
    browser.look(1400)
    with PageServer(lambda: faulty(4), 0, 1) as server:
        where = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.visit(f"{where}#at=testwg/bernard/dora")
        assert "dora does not answer bernard." in text(browser, "#panel")
        server.latest = newer.made, show_page(newer, every=1)
        deadline = time.monotonic() + 30
        while "bernard reaches dora." not in text(browser, "#panel"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        server.end()
    assert all(url.startswith(where) for url in browser.requests)
    assert [line for line in browser.said if "favicon" not in line] == []
