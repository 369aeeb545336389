"""Scanning: what is shown, what is written, and what is refused; the hosts are SSH servers on loopback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from typer.testing import CliRunner

from mesh.cli.app import app
from mesh.cli.ssh_config import fill_in_way
from mesh.cli.stack_file import StackFile
from mesh.cli.stack_places import find_or_name_stack_file, find_stack_file
from mesh.errors import HostError, MeshError
from mesh.remote.reports import read_found
from tests.unit.scanned import ANSWER, OTHER_KEY, FakeHost, running_host, scan, write


@pytest.fixture
def host() -> Iterator[FakeHost]:
    """Return a running host."""
    with running_host() as running:
        yield running


def test_a_new_host_gets_its_key_system_and_external_addresses(tmp_path: Path, host: FakeHost) -> None:
    """The rest of the file stays as the user wrote it."""
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")
    assert scan(file).problems == {}
    assert file.text() == (
        "# mine\nconfig:\n  mesh:hosts:\n    bernard: # first\n      system: x86_64-linux\n"
        '      externalIps: [78.11.11.11, "2a01:4f8::5"]\n'
        f"      ssh: {{address: 127.0.0.1, port: {host.port}, hostKey: {host.public_key()}}}\n"
    )


@pytest.mark.parametrize(
    ("sizes", "field", "said", "problem"),
    [
        ("1500", "", "", ""),
        ("9000\nlink-mtu 1460", "linkMtu: 1460", "bernard: its link carries packets of 1460 bytes at most", ""),
        ("1300", "", "", "its link carries packets of 1300 bytes at most, and a tunnel takes 1360; raise its MTU"),
        ("", "", "", ""),
    ],
)
def test_a_link_that_carries_less_than_others_is_written_down(
    tmp_path: Path, host: FakeHost, sizes: str, field: str, said: str, problem: str
) -> None:
    """The plan is complete before anything is made, and packets fit."""
    host.answer = f"{ANSWER}link-mtu {sizes}\n"
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")
    shown: list[str] = []
    found = scan(file, show=lambda what: shown.append(str(what)))
    assert found.problems == ({"bernard": problem} if problem else {})
    assert field in file.text()
    assert ("linkMtu" in file.text()) == bool(field)
    assert not said or said in shown


def test_a_link_that_carries_less_than_the_file_says_is_named(tmp_path: Path, host: FakeHost) -> None:
    """Packets that are too large would be lost."""
    host.answer = f"{ANSWER}link-mtu 1400\n"
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}", "      linkMtu: 1460\n")
    wanted = "its link carries packets of 1400 bytes at most, the file says 1460; correct its linkMtu"
    assert scan(file).problems == {"bernard": wanted}


def test_what_the_file_says_already_is_kept(tmp_path: Path, host: FakeHost) -> None:
    """An empty list of external addresses is the user's word that the host is roaming."""
    file = write(
        tmp_path,
        f"address: 127.0.0.1, port: {host.port}, hostKey: {host.public_key()} bernard",
        "      externalIps: []\n      system: x86_64-linux\n",
    )
    before = file.text()
    assert scan(file, confirm=lambda _: pytest.fail("nothing is new")).problems == {}
    assert file.text() == before


def test_a_host_whose_endpoint_is_a_name_gets_no_address(tmp_path: Path, host: FakeHost) -> None:
    """The one of today would be another one tomorrow."""
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}", "      externalName: bernard.example.org\n")
    assert scan(file).problems == {}
    assert "externalIps" not in file.text()
    assert "externalName: bernard.example.org" in file.text()


def test_a_pinned_key_of_another_type_is_the_same_host(tmp_path: Path, host: FakeHost) -> None:
    """A host has several keys, and the one in the file is asked for."""
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}, hostKey: {host.public_key(1)}")
    assert scan(file, confirm=lambda _: pytest.fail("nothing is new")).problems == {}


def test_a_changed_key_is_refused_and_the_host_not_logged_in_to(tmp_path: Path, host: FakeHost) -> None:
    """Somebody may be in between."""
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}, hostKey: {OTHER_KEY}")
    before = file.text()
    problem = scan(file).problems["bernard"]
    assert "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU" in problem
    assert "--accept-changed" in problem
    assert (file.text(), host.logins) == (before, 0)


def test_a_changed_key_is_taken_when_told_to(tmp_path: Path, host: FakeHost) -> None:
    """A host was reinstalled, and the user has compared."""
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}, hostKey: {OTHER_KEY}")
    assert scan(file, accept_changed=True).problems == {}
    assert file.hosts["bernard"]["ssh"]["hostKey"] == host.public_key()


def test_nobody_is_logged_in_to_before_the_fingerprints_are_accepted(tmp_path: Path, host: FakeHost) -> None:
    """A no leaves the file as it was, too."""
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")

    def refuse(_: str) -> None:
        raise MeshError("no")

    with pytest.raises(MeshError):
        scan(file, confirm=refuse)
    assert "hostKey" not in file.text()
    assert host.logins == 0


def test_a_host_is_scanned_through_its_bastion(tmp_path: Path, host: FakeHost) -> None:
    """The bastion's key is asked for and pinned first."""
    place = f"address: 127.0.0.1, port: {host.port}"
    file = write(tmp_path, f"{place}, bastion: {{{place}, user: jump}}")
    assert scan(file).problems == {}
    ssh = file.hosts["bernard"]["ssh"]
    assert (ssh["hostKey"], ssh["bastion"]["hostKey"]) == (host.public_key(), host.public_key())


@pytest.mark.parametrize("has_key", [True, False])
def test_a_host_that_refuses_us_is_named_and_its_key_kept(
    tmp_path: Path, host: FakeHost, has_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fingerprint was accepted; only the login is left to mend."""
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}, user: stranger")
    if has_key:
        key = tmp_path / "key"
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(key))
        key.chmod(0o600)
        monkeypatch.setenv("MESH_SSH_KEY_FILE", str(key))
    words = (
        "refuses your SSH key" if has_key else "lets nobody in without a key: no ssh-agent and no key file; start one"
    )
    assert scan(file).problems["bernard"].startswith(words)
    assert file.hosts["bernard"]["ssh"]["hostKey"] == host.public_key()


def test_a_wrong_system_in_the_file_is_named(tmp_path: Path, host: FakeHost) -> None:
    """The program would refuse it too, but later."""
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}", "      system: aarch64-linux\n")
    assert scan(file).problems["bernard"].startswith("is x86_64-linux, the file says aarch64-linux")


def test_what_start_up_files_print_is_no_part_of_an_answer(tmp_path: Path, host: FakeHost) -> None:
    """The system is no greeting."""
    host.noise = b"\x1b]0;carol\x07Welcome to carol\n\xfc ber alles"
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")
    assert scan(file).problems == {}
    assert "system: x86_64-linux" in file.text()


@pytest.mark.parametrize(
    "answer",
    [
        b"x86_64\n2: eth0    inet 78.11.11.999/24 scope global eth0\n",
        b"x86_64\n2: eth0    inet6 2a01:4f8::5%\x1b[2J/64 scope global\n",
        b"x86_64\nlink-mtu " + b"9" * 5000,
        b"x86_64\nWelcome\n",
        b"[/nope]\n",
        b"\xff\xfe\x1b]0;owned\x07\n",
        b" ",
    ],
)
def test_an_answer_that_is_none_is_its_hosts_fault(tmp_path: Path, host: FakeHost, answer: bytes) -> None:
    """In one line that does nothing to a terminal; the key that was accepted is written all the same."""
    host.answer = answer
    path = write(tmp_path, f"address: 127.0.0.1, port: {host.port}").path
    done = run(str(path), "--yes")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: host 'bernard': answers its system and addresses with what cannot be read (")
    assert done.stderr.count("\n") == 1
    assert done.stderr.strip().isprintable()
    assert host.public_key() in path.read_text()
    assert "externalIps" not in path.read_text()


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.2", "203.0.113.1", "100.64.0.1", "fd00::1", "2001:db8::1"])
def test_an_address_that_is_not_routed_is_no_external_one(address: str) -> None:
    """Peers elsewhere could not reach it."""
    kind = "inet6" if ":" in address else "inet"
    found = read_found("bernard", ["x86_64", f"2: eth0    {kind} {address}/24 scope global eth0"])
    assert found.external_addresses == ()


def run(*words: str) -> Any:
    """Run the command without a terminal."""
    return CliRunner().invoke(app, ["scan", *words])


def test_a_silent_host_is_listed_and_the_rest_is_written(tmp_path: Path, host: FakeHost) -> None:
    """The exit code says that something is missing."""
    path = write(tmp_path, f"address: 127.0.0.1, port: {host.port}").path
    path.write_text(path.read_text() + "    carol:\n      ssh: {address: 127.0.0.1, port: 1}\n")
    done = run(str(path), "--yes")
    assert done.exit_code == 1
    assert "error: host 'carol': cannot be reached" in done.stderr
    assert host.public_key() in path.read_text()
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_without_a_terminal_new_keys_need_a_yes(tmp_path: Path, host: FakeHost) -> None:
    """A script cannot look at fingerprints, and must say so."""
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")
    before = file.path.read_text()
    done = run(str(file.path))
    assert str(done.exception).startswith("scan: these keys need a yes, and there is no terminal")
    assert file.path.read_text() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "cannot be read as YAML"),
        ("config: {}", "no hosts below config and mesh:hosts"),
        ("config:\n  mesh:hosts:\n    a: {ssh: {adress: x}}", "ssh.adress: unknown field; did you mean address?"),
    ],
)
def test_a_file_that_cannot_be_scanned_says_why(tmp_path: Path, text: str, message: str) -> None:
    """Nothing is asked of any host then."""
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(text)
    with pytest.raises(MeshError) as caught:
        scan(StackFile(path))
    assert message in str(caught.value)
    assert "hostKey: missing" not in str(caught.value)


def test_a_stack_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is in the project's stacks/; a name that is neither is an error."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "stacks" / "Pulumi.lab.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert find_stack_file("lab") == tmp_path / "stacks" / "Pulumi.lab.yaml"
    assert find_or_name_stack_file("new") == tmp_path / "stacks" / "Pulumi.new.yaml"
    with pytest.raises(MeshError):
        find_stack_file("nothing")


def test_only_the_host_that_is_named_is_scanned(tmp_path: Path, host: FakeHost) -> None:
    """The other's changed key is nobody's business then; a name that is not there is refused."""
    path = write(tmp_path, f"address: 127.0.0.1, port: {host.port}").path
    path.write_text(path.read_text() + "    carol:\n      ssh: {address: 127.0.0.1, port: 1}\n")
    assert run(str(path), "--yes", "--host", "bernard").exit_code == 0
    assert host.public_key() in path.read_text()
    assert run(str(path), "--yes", "--host", "dora").exit_code == 1


@pytest.mark.parametrize(
    "hosts",
    [
        "bernard: {ssh: &login {user: admin}}\n    carol: {ssh: *login}",
        "bernard: &host {tags: [web]}\n    carol: {<<: *host, site: a}",
        "bernard: {ssh: &login {user: admin}}\n    carol: {ssh: {<<: *login, port: 23}}",
    ],
    ids=["alias", "merged host", "merged login"],
)
def test_the_address_of_a_host_is_not_written_where_another_one_has_it_too(tmp_path: Path, hosts: str) -> None:
    """Both would be scanned at one address, and told that they are one machine."""
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(f"config:\n  mesh:hosts:\n    {hosts}\n")
    file = StackFile(path)
    with pytest.raises(HostError, match=r"by an alias or a merge, and an address is of one alone; write ssh out for"):
        fill_in_way("bernard", file.hosts["bernard"])
    assert file.text() == path.read_text()


def test_what_one_host_says_is_not_written_for_another_that_merges_it(tmp_path: Path, host: FakeHost) -> None:
    """Its addresses and its key would be those of the first one."""
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(
        "config:\n  mesh:hosts:\n"
        f"    bernard: &first {{ssh: {{address: 127.0.0.1, port: {host.port}}}}}\n"
        "    carol: {<<: *first, ssh: {address: 10.0.0.9}}\n"
    )
    before = path.read_text()
    outcome = CliRunner().invoke(app, ["scan", str(path), "--host", "bernard", "--yes"])
    assert isinstance(outcome.exception, MeshError)
    assert "not written, since mesh:hosts.carol has by an alias or a merge what would change" in str(outcome.exception)
    assert path.read_text() == before
