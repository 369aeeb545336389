"""What holds of reading any file that is to be imported, however broken."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.importers.fleet import read_fleet
from mesh.cli.importers.found import FoundMember, FoundMesh
from mesh.cli.importers.stack import add_meshes
from mesh.cli.importers.wg_meshconf import read_wg_meshconf
from mesh.cli.importers.wg_quick import read_wg_quick_files
from mesh.cli.stack_file import INTERFACES, StackFile
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from mesh.plan.topology import plan_meshes
from mesh.wireguard.keys import generate_key_pair, generate_preshared_key
from mesh.wireguard.wg_quick import read_wg_quick
from tests.strategies import HOST_KEY, SECRETS

FAULT = re.compile(r"[^\n]+?: [^\n]+[;?] ?[^\n]*")
PAIRS = [generate_key_pair() for _ in range(3)]
KEYS = [SECRETS[0], generate_preshared_key(), *(pair.private_key for pair in PAIRS)]
# A part of a key is told apart from other text by this many of its characters.
PART = 12
PARTS = {key[start : start + PART] for key in KEYS for start in range(len(key) - PART)}

secrets = st.one_of(
    st.sampled_from([*KEYS, *SECRETS]),
    # What an editor or a mail broke into two, and what somebody pasted in the wrong place.
    st.builds(lambda key, at: f"{key[:at]}\n{key[at:]}", st.sampled_from(KEYS), st.integers(0, 44)),
    st.builds(lambda key, at: key[at:], st.sampled_from(KEYS), st.integers(0, 30)),
)
NAMES = (
    "[Interface]", "[Peer]", "PrivateKey", "PublicKey", "PresharedKey", "Address", "AllowedIPs", "Endpoint", "MTU",
    "ListenPort", "PersistentKeepalive", "PostUp", "DNS", "Table", "FwMark", "SaveConfig", "#", "# phone", "Mtu x",
)  # fmt: skip
names = st.sampled_from(NAMES)
PLAIN = (
    "fd00::1/64", "fd00:1::/64", "10.0.0.1/24", "10.0.0.2/32", "::/0", "1.2.3.4:5", "a.example.org:5", "[::1]:5", "0",
    "-1", "²", "off", "1400", "51820", "true", "", "bernard", "db_01", *(pair.public_key for pair in PAIRS),
)  # fmt: skip
values = st.one_of(st.text(max_size=40), secrets, st.sampled_from(PLAIN))
lines = st.one_of(st.builds("{}{}{}".format, names, st.sampled_from(["=", " = ", " "]), values), names, values)
texts = st.one_of(st.text(), st.lists(lines, max_size=12).map("\n".join))
# A text in any encoding that an editor may have chosen, and what is none.
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1")
contents = st.one_of(
    texts,
    st.builds(lambda text, encoding: text.encode(encoding, "replace"), texts, st.sampled_from(ENCODINGS)),
    st.binary(max_size=200),
)
NIX = [
    "{",
    "}",
    "[",
    "]",
    "=",
    ";",
    '"',
    "secrets",
    "hosts",
    "testwg-key",
    "owners",
    "public.raw",
    "a.b",
    "#",
    "\n",
    "''",
    ".",
    "hostSecrets",
]
nix = st.lists(st.one_of(st.sampled_from(NIX), values), max_size=30).map(" ".join)
COLUMNS = ("Name", "Address", "Endpoint", "AllowedIPs", "ListenPort", "PrivateKey", "Comment", "PostUp")
cells = st.one_of(values, st.sampled_from([f'"{value}"' for value in PLAIN]), st.just(""))


@st.composite
def tables(draw: st.DrawFn) -> str:
    """Return a database with columns of any kind."""
    separator = draw(st.sampled_from([",", ";", "\t"]))
    rows = draw(st.lists(st.lists(cells, max_size=9), max_size=4))
    return "\n".join(separator.join(row) for row in [COLUMNS, *rows])


def check(read: Callable[[], object], where: str, seconds: float = 2) -> None:
    """Fail unless it reads or is refused as it should be: soon, with `where` and no key in every fault, in words."""
    faults: tuple[str, ...] = ()
    began = time.process_time()
    try:
        read()
    except ConfigurationError as error:
        faults = error.faults or ("",)
    assert time.process_time() - began < seconds
    assert [fault for fault in faults if not (FAULT.fullmatch(fault) and fault.startswith(where))] == []
    assert [part for part in PARTS if part in "".join(faults)] == []


def write(*meshes: FoundMesh) -> None:
    """Do what is left of an import, as far as a stack file."""
    file = StackFile(Path("none.yaml"), complete=True)
    add_meshes(file, meshes)
    shown = file.text() + "\n".join(note for mesh in meshes for note in mesh.notes)
    private = [mesh.keys[name] for mesh in meshes for name in mesh.keys]
    assert [key for key in private if key in shown] == []


@given(contents)
def test_a_broken_configuration_is_refused_in_words(content: Any) -> None:
    """Whatever a host or a file holds is read or refused, with no other exception and no secret."""
    check(lambda: read_wg_quick(content, "a.conf"), "a.conf")


@given(st.dictionaries(st.sampled_from(["a/wg0.conf", "b/wg0.conf", "c.conf", "a_b/wg0.conf"]), contents, max_size=3))
def test_a_folder_of_garbage_is_refused_in_words(files: Any) -> None:
    """Also when single files can be read and do not fit together."""
    check(lambda: write(*read_wg_quick_files(files, None, "conf")), "conf")


@given(st.one_of(contents, tables()))
def test_a_broken_database_is_refused_in_words(content: Any) -> None:
    """Cells, lines and headers of any kind."""
    check(lambda: write(read_wg_meshconf(content, "wg0", "hosts.csv")), "hosts.csv")


@given(st.one_of(contents, nix))
def test_a_broken_fleet_state_is_refused_in_words(content: Any) -> None:
    """Sets that do not close, texts that do not end, and what is no Nix at all."""
    check(lambda: write(*read_fleet(content, None, "state.nix")), "state.nix")


@st.composite
def _found(draw: st.DrawFn, interface: str, places: Any) -> FoundMesh:
    hosts = draw(st.lists(st.sampled_from("abc"), min_size=2, max_size=3, unique=True))
    keepalives = st.sampled_from([None, 0, 15, 25])
    members = tuple(FoundMember(host, None, draw(places(host)), draw(keepalives)) for host in sorted(hosts))
    return FoundMesh(interface, members, 51820 if interface == "wg0" else 51821)


def _places(host: str) -> st.SearchStrategy[tuple[str, ...]]:
    number = ord(host)
    return st.sampled_from(
        [(), (f"203.0.113.{number}",), (f"203.0.113.{number}", f"2001:db8::{number}"), (f"{host}.lan",)]
    )


@given(_found("wg0", _places), _found("wg1", _places), st.booleans())
def test_no_mesh_changes_another_one_in_the_stack_file(one: FoundMesh, other: FoundMesh, together: bool) -> None:
    """Each is refused, or has the endpoints and keepalives that it has alone, also if it was there already."""

    def plans(steps: list[list[FoundMesh]]) -> dict[str, list[tuple[str, str | None, int]]]:
        file = StackFile(Path("none.yaml"), complete=True)
        for meshes in steps:
            add_meshes(file, meshes)
        ssh = {"address": "1.2.3.4", "hostKey": HOST_KEY}
        hosts = {name: {**entry, "ssh": ssh} for name, entry in file.hosts.items()}
        made = plan_meshes(read_configuration(hosts, file.section(INTERFACES)))
        return {
            name: [(own.name, own.endpoint, own.persistent_keepalive) for own in plan.members]
            for name, plan in made.items()
        }

    with suppress(ConfigurationError):
        both = plans([[one, other]] if together else [[one], [other]])
        assert both == {**plans([[one]]), **plans([[other]])}


READERS: dict[str, Callable[[str], object]] = {
    "wg-quick": lambda text: read_wg_quick(text, "a"),
    "folder": lambda text: read_wg_quick_files({"a/wg0.conf": text, "b/wg0.conf": text}, None, "a"),
    "wg-meshconf": lambda text: read_wg_meshconf(text, "wg0", "a"),
    "fleet": lambda text: read_fleet(text, None, "a"),
}


@given(st.sampled_from(sorted(READERS)), st.one_of(lines, cells, nix), st.integers(1, 400_000))
def test_a_large_file_is_read_or_refused_as_quickly(reader: str, piece: str, length: int) -> None:
    """One that says the same again and again; time that grows with the square would be minutes here."""
    text = ("[Interface]\n" if reader in ("wg-quick", "folder") else "") + piece * (length // (len(piece) or 1))
    check(lambda: READERS[reader](text), "a", seconds=10)
