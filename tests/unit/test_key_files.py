"""What MESH_SSH_KEY_FILE may name by mistake: each is told in words, and a key is never shown."""

import base64
import subprocess
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.remote import credentials


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder without anybody's agent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def make_key(path: Path) -> Path:
    """Make an SSH key at `path`."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def refusal(named: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return why what the environment names cannot be used."""
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, named)
    with pytest.raises(MeshError) as refused:
        credentials.load()
    return str(refused.value)


def test_a_key_in_the_place_of_its_files_name_is_never_shown(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a CI's secret is put there: whole, on one line, or without its first and last line."""
    text = make_key(own_folder / "mine").read_text()
    body = "".join(text.split("\n")[1:-2])
    for pasted in (text, text.replace("\n", " "), body):
        said = refusal(pasted, monkeypatch)
        assert said.startswith("MESH_SSH_KEY_FILE: is a key itself, not the name of a file; ")
        assert body[60:90] not in said


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("~nobody-of-this-name/key", "is not a file"), ("a" * 300, r"cannot be read \(File name too long\)")],
)
def test_a_name_that_leads_nowhere_is_told(name: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the system calls it."""
    assert f"MESH_SSH_KEY_FILE: '{name}' {wrong}; name an SSH private key".replace("\\", "") in refusal(
        name, monkeypatch
    )


def test_a_key_file_in_a_folder_of_another_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As /root/.ssh for whoever is not root."""

    def deny(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", deny)
    monkeypatch.setattr(Path, "read_bytes", deny)
    said = refusal("/root/.ssh/id_ed25519", monkeypatch)
    assert "MESH_SSH_KEY_FILE: '/root/.ssh/id_ed25519' cannot be read (Permission denied); name an SSH" in said


def test_what_is_no_whole_certificate_beside_a_key_is_passed_over(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ssh does with a public key under that name, and with one that was cut off."""
    key, authority = make_key(own_folder / "mine"), make_key(own_folder / "ca")
    monkeypatch.setenv(credentials.KEY_FILE_VARIABLE, str(key))
    certificate = own_folder / "mine-cert.pub"
    certificate.write_bytes((own_folder / "mine.pub").read_bytes())
    assert len(credentials.load().identities) == 1
    certificate.unlink()
    subprocess.run(["ssh-keygen", "-q", "-s", str(authority), "-I", "id", "-n", "root", f"{key}.pub"], check=True)
    kind, body, *_ = certificate.read_text().split()
    certificate.write_text(f"{kind} {base64.b64encode(base64.b64decode(body)[:60]).decode()}\n")
    credentials.renew()
    assert len(credentials.load().identities) == 1
    certificate.chmod(0o600)
    assert "is no SSH key that can be used" in refusal(str(certificate), monkeypatch)


def test_a_relative_name_is_told_with_the_folder_where_it_was_looked_for(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pulumi runs the program in the project's folder, and not where somebody typed the command."""
    make_key(own_folder / "mine")
    (own_folder / "project").mkdir()
    monkeypatch.chdir(own_folder / "project")
    said = refusal("mine", monkeypatch)
    assert said.startswith(f"MESH_SSH_KEY_FILE: 'mine' is not a file in {own_folder}/project; name an SSH")


@pytest.mark.parametrize(
    ("name", "typed"), [("my key", "'my key'"), ("key", "key"), ("~/key", "~/key"), ("~/my key", "'{}/my key'")]
)
def test_the_command_that_helps_can_be_typed(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, typed: str
) -> None:
    """Also where the file's name has a space; in quotes, a tilde is no folder."""
    monkeypatch.setenv("HOME", str(own_folder))
    path = Path(name).expanduser()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", str(path)], check=True)
    said = refusal(name, monkeypatch)
    command = said.partition("run ")[2].partition(", or name a key without a passphrase")[0]
    assert command == f"ssh-add {typed.format(own_folder)}"
    found = subprocess.run(["sh", "-c", f"ls -d {command.removeprefix('ssh-add ')}"], capture_output=True, check=True)
    assert found.stdout
