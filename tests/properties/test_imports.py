"""What holds of reading any file that is to be imported, however broken."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.importers.fleet import read_fleet
from mesh.cli.importers.wg_meshconf import read_wg_meshconf
from mesh.cli.importers.wg_quick import read_wg_quick_files
from mesh.errors import ConfigurationError
from mesh.wireguard.wg_quick import read_wg_quick
from tests.strategies import SECRETS

FAULT = re.compile(r"[^\n]+?: [^\n]+; [^\n]+")
secrets = st.sampled_from(SECRETS)
names = st.sampled_from(
    ["[Interface]", "[Peer]", "PrivateKey", "PublicKey", "PresharedKey", "Address", "AllowedIPs", "Endpoint", "MTU",
     "ListenPort", "PersistentKeepalive", "PostUp", "DNS", "Table"]
)  # fmt: skip
values = st.one_of(
    st.text(max_size=40), secrets, st.sampled_from(["fd00::1/64", "10.0.0.1/24", "1.2.3.4:5", "0", "-1", "²", "off"])
)
lines = st.one_of(st.builds("{} = {}".format, names, values), names, values)
texts = st.one_of(st.text(), st.lists(lines, max_size=12).map("\n".join))
NIX = ["{", "}", "[", "]", "=", ";", '"', "secrets", "hosts", "testwg-key", "owners", "public.raw", "a.b", "#", "\n"]
nix = st.lists(st.one_of(st.sampled_from(NIX), values), max_size=30).map(" ".join)
COLUMNS = ("Name", "Address", "Endpoint", "AllowedIPs", "ListenPort", "PrivateKey", "PresharedKeys", "PostUp")
cells = st.one_of(values, st.just(""))
rows = st.lists(st.lists(cells, max_size=9).map(",".join), max_size=4).map(
    lambda found: "\n".join([",".join(COLUMNS), *found])
)


def check(error: ConfigurationError) -> None:
    """Fail unless every fault is worded as it should be and none repeats a secret."""
    assert error.faults
    assert [fault for fault in error.faults if not FAULT.fullmatch(fault)] == []
    assert [secret for secret in SECRETS if secret in str(error)] == []


@given(texts)
def test_a_broken_configuration_is_refused_in_words(text: str) -> None:
    """Whatever a host or a file holds is read or refused, with no other exception and no secret."""
    try:
        read_wg_quick(text, "a.conf")
    except ConfigurationError as error:
        check(error)


@given(st.dictionaries(st.sampled_from(["a/wg0.conf", "b/wg0.conf", "c.conf"]), texts, max_size=3))
def test_a_folder_of_garbage_is_refused_in_words(files: dict[str, str]) -> None:
    """Also when single files can be read and do not fit together."""
    try:
        read_wg_quick_files(files, None)
    except ConfigurationError as error:
        check(error)


@given(st.one_of(texts, rows))
def test_a_broken_database_is_refused_in_words(text: str) -> None:
    """Cells, lines and headers of any kind."""
    try:
        read_wg_meshconf(text, "wg0")
    except ConfigurationError as error:
        check(error)


@given(st.one_of(texts, nix))
def test_a_broken_fleet_state_is_refused_in_words(text: str) -> None:
    """Sets that do not close, texts that do not end, and what is no Nix at all."""
    try:
        read_fleet(text, None)
    except ConfigurationError as error:
        check(error)
