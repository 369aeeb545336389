"""The first stack file: from names and addresses, by the operator's own ssh, which really reads its files here."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from mesh.cli import app as app_module
from mesh.cli import new as new_module
from mesh.cli.known_keys import find_known_keys
from mesh.cli.new import Wanted, make_stack_file, name_stack_file, read_wanted
from mesh.cli.ssh_config import fill_in_way, find_way
from mesh.cli.stack_file import StackFile
from mesh.errors import HostError, MeshError
from tests.own_ssh import write_own_ssh
from tests.unit.scanned import OTHER_KEY, FakeHost, running_host, scan, write


@pytest.fixture
def host() -> Iterator[FakeHost]:
    """Return a running host."""
    with running_host() as running:
        yield running


@pytest.fixture
def ssh_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the configuration file of an operator, which the real ssh then reads instead of yours."""
    config = tmp_path / "ssh" / "config"
    config.parent.mkdir()
    config.write_text("")
    write_own_ssh(config.parent, f"-F {config}")
    monkeypatch.setenv("PATH", f"{config.parent}:{os.environ['PATH']}")
    return config


def configure(config: Path, port: int, *more: str) -> Path:
    """Describe bernard at a port of loopback, and return the known_hosts file that goes with it."""
    known = config.with_name("known_hosts")
    lines = ["HostName 127.0.0.1", f"Port {port}", "User root", f"UserKnownHostsFile {known}", *more]
    config.write_text(
        "Host bernard\n" + "".join(f"  {line}\n" for line in lines) + f"Host *\n  UserKnownHostsFile {known}\n"
    )
    return known


@pytest.mark.parametrize(
    ("text", "name", "machine"),
    [
        ("bernard", "bernard", "bernard"),
        ("root@bernard", "bernard", "bernard"),
        ("bernard:2222", "bernard", "bernard"),
        ("web.example.org", "web.example.org", "web.example.org"),
        ("my_host", "", "my_host"),
        ("root@78.11.11.11", "", "78.11.11.11"),
        ("root@78.11.11.11:2222", "", "78.11.11.11"),
        ("ssh://root@78.11.11.11:2222/", "", "78.11.11.11"),
        ("78.11.11.11", "", "78.11.11.11"),
        ("2001:db8::1", "", "2001:db8::1"),
        ("root@2001:db8::1", "", "2001:db8::1"),
        ("root@[2001:db8::1]:2222", "", "2001:db8::1"),
        ("admin@web.example.org", "", "web.example.org"),
        ("web=admin@10.0.0.5", "web", "10.0.0.5"),
        ("web=ssh://[2001:db8::1]:2222", "web", "2001:db8::1"),
    ],
)
def test_a_host_is_named_in_the_ways_that_people_write(text: str, name: str, machine: str) -> None:
    """As ssh takes them, with a name before it if one is wanted; what is behind that is for ssh to read."""
    assert read_wanted(text) == Wanted(name, text.rpartition("=")[2], machine)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=x",
        "a b",
        "@10.0.0.1",
        "root@",
        "=10.0.0.1",
        "x=",
        "-G=1.2.3.4",
        "a:b",
        "a:0",
        "a:65536",
        "http://a",
        "[a]:22",
        "x@-oProxyCommand=x",
    ],
)
def test_what_names_no_host_is_refused(text: str) -> None:
    """An option of ssh above all."""
    with pytest.raises(MeshError, match="give NAME"):
        read_wanted(text)


def test_a_name_alone_is_reached_as_ssh_reaches_it(tmp_path: Path, ssh_config: Path, host: FakeHost) -> None:
    """Address, port and user come from the configuration, and what the file says wins."""
    configure(ssh_config, host.port)
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text("config:\n  mesh:hosts:\n    bernard:\n")
    file = StackFile(path)
    shown: list[str] = []
    assert scan(file, show=lambda what: shown.append(str(what))).problems == {}
    assert file.hosts["bernard"]["ssh"] == {"address": "127.0.0.1", "port": host.port, "hostKey": host.public_key()}
    assert f"bernard: reached as your SSH configuration says: root@127.0.0.1 port {host.port}" in shown


def test_what_the_file_says_of_the_way_wins(ssh_config: Path, tmp_path: Path) -> None:
    """An address in the file is the whole way; without one, other fields stay."""
    configure(ssh_config, 2222, "ProxyJump jump@gate.example.org:2200")
    entry: dict[str, Any] = {"ssh": {"address": "10.0.0.1"}}
    assert fill_in_way("bernard", entry) == ""
    assert entry == {"ssh": {"address": "10.0.0.1"}}
    entry = {"ssh": {"user": "admin"}}
    assert fill_in_way("bernard", entry) == "admin@127.0.0.1 port 2222, through jump@gate.example.org:2200"
    assert entry["ssh"] == {
        "address": "127.0.0.1",
        "port": 2222,
        "user": "admin",
        "bastion": {"address": "gate.example.org", "port": 2200, "user": "jump"},
    }
    assert tmp_path.exists()


@pytest.mark.parametrize(
    ("typed", "settings"),
    [
        ("bernard", {"address": "10.0.0.5", "port": 2222, "user": "deploy"}),
        ("root@bernard", {"address": "10.0.0.5", "port": 2222}),
        ("root@bernard:22", {"address": "10.0.0.5"}),
        ("78.11.11.11", {"address": "10.0.0.5", "port": 2222, "user": "deploy"}),
        ("ssh://bob@78.11.11.11", {"address": "10.0.0.5", "port": 2222, "user": "bob"}),
        ("root@[2001:db8::1]:23", {"address": "2001:db8::1", "port": 23}),
    ],
)
def test_the_configuration_holds_for_every_way_to_name_a_host_and_what_was_typed_wins(
    ssh_config: Path, typed: str, settings: dict[str, Any]
) -> None:
    """As for `ssh`, which applies its Host sections to what it was given."""
    ssh_config.write_text(
        "Host bernard 78.11.11.11\n  HostName 10.0.0.5\n  Port 2222\n  User deploy\n  ProxyJump gate\n"
        "Host gate\n  HostName 198.51.100.1\n  User jump\n"
    )
    entry: dict[str, Any] = {}
    fill_in_way(typed, entry)
    behind = {} if "2001" in typed else {"bastion": {"address": "198.51.100.1", "user": "jump"}}
    assert entry["ssh"] == {**settings, **behind}


@pytest.mark.parametrize("way", ["ProxyCommand nc %h %p", "ProxyJump one,two", "ProxyJump gate"])
def test_a_way_that_a_stack_file_cannot_say_is_named(ssh_config: Path, way: str) -> None:
    """With what to write instead, which is all it needs; a jump host behind another one is such a way too."""
    configure(ssh_config, 22, way)
    ssh_config.write_text(f"{ssh_config.read_text()}Host gate\n  ProxyJump edge\n")
    with pytest.raises(HostError, match=r"give ssh.address, or ssh.bastion") as error:
        find_way("bernard")
    assert ("ProxyJump gate, which is itself reached by ProxyJump edge" in str(error.value)) == (way[-4:] == "gate")
    entry: dict[str, Any] = {"ssh": {"bastion": {"address": "10.0.0.9"}}}
    assert fill_in_way("bernard", entry) == "root@127.0.0.1 port 22"
    assert entry["ssh"] == {"address": "127.0.0.1", "bastion": {"address": "10.0.0.9"}}


def test_what_ssh_says_of_its_configuration_is_told(ssh_config: Path) -> None:
    """It names the file and the line."""
    ssh_config.write_text("Host *\n  PortNumber 22\n")
    with pytest.raises(HostError, match=rf"`ssh -G` says: {ssh_config}: line 2: Bad configuration option: portnumber"):
        find_way("bernard")


@pytest.mark.parametrize("hashed", [False, True])
def test_a_key_in_known_hosts_is_trusted_without_a_question(
    tmp_path: Path,
    ssh_config: Path,
    host: FakeHost,
    hashed: bool,
) -> None:
    """Also of another type than we would ask for first, and where the names are hashed."""
    known = configure(ssh_config, host.port)
    known.write_text(f"[127.0.0.1]:{host.port} {host.public_key(1)}\n")
    if hashed:
        os.system(f"ssh-keygen -q -H -f {known} >/dev/null 2>&1")  # noqa: S605
        assert "127.0.0.1" not in known.read_text()
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")
    shown: list[str] = []
    done = scan(file, confirm=lambda _: pytest.fail("it is known"), show=lambda what: shown.append(str(what)))
    assert done.problems == {}
    assert file.hosts["bernard"]["ssh"]["hostKey"] == host.public_key(1)
    assert f"bernard: its key is trusted already, by {known}:1" in shown


@pytest.mark.parametrize("way", ["", "ProxyCommand nc %h %p", "ProxyJump one,two"])
def test_a_key_that_known_hosts_contradicts_is_refused(
    tmp_path: Path, ssh_config: Path, host: FakeHost, way: str
) -> None:
    """Also where `ssh` would take a way that a stack file cannot say; the host is not logged in to."""
    known = configure(ssh_config, host.port, *filter(None, [way]))
    known.write_text(f"[127.0.0.1]:{host.port} {OTHER_KEY}\n")
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")
    assert f"shows a host key that is not the one of {known}:1" in scan(file).problems["bernard"]
    assert host.logins == 0
    assert "hostKey" not in file.text()


def test_no_key_is_taken_while_known_hosts_cannot_be_found(tmp_path: Path, ssh_config: Path, host: FakeHost) -> None:
    """It may contradict; one line that ssh refuses keeps it from telling where it is."""
    ssh_config.write_text("Nonsense yes\n")
    file = write(tmp_path, f"address: 127.0.0.1, port: {host.port}")
    told = scan(file).problems["bernard"]
    assert "may be trusted or not by known_hosts: `ssh -G` says: " in told
    assert "Bad configuration option: nonsense; correct your SSH configuration" in told
    assert host.logins == 0
    assert "hostKey" not in file.text()


@pytest.mark.parametrize("pinned", [None, 0, 1])
def test_a_revoked_key_is_refused_whatever_the_file_says(
    tmp_path: Path, ssh_config: Path, host: FakeHost, pinned: int | None
) -> None:
    """New, pinned, or in the place of another one that is accepted as changed; the line of known_hosts stays."""
    known = configure(ssh_config, host.port)
    known.write_text("".join(f"@revoked * {host.public_key(number)}\n" for number in (0, 1)))
    keys = {0: host.public_key(), 1: OTHER_KEY}
    file = write(
        tmp_path,
        f"address: 127.0.0.1, port: {host.port}" + (f", hostKey: {keys[pinned]}" if pinned is not None else ""),
    )
    before = file.text()
    told = scan(file, accept_changed=True).problems["bernard"]
    assert told == f"shows a host key that {known}:1 revokes; make a new one on it, and restart its sshd"
    assert host.logins == 0
    assert file.text() == before


def test_an_authority_in_known_hosts_is_no_host_key(tmp_path: Path) -> None:
    """Its key signs those of hosts, and is not one."""
    known = tmp_path / "known"
    known.write_text(f"@cert-authority *.example.org {OTHER_KEY}\nweb.example.org {OTHER_KEY}\n")
    assert find_known_keys("web.example.org", [str(known)]).trusted == {f"{known}:2": OTHER_KEY}


def test_two_keys_for_one_bastion_are_a_fault(tmp_path: Path, host: FakeHost) -> None:
    """One of the two is wrong, and which, the user knows."""
    place = f"address: 127.0.0.1, port: {host.port}"
    file = write(tmp_path, f"{place}, bastion: {{{place}, hostKey: {host.public_key()}}}")
    file.hosts["carol"] = {"ssh": {"address": "10.0.0.9", "bastion": {
        "address": "127.0.0.1", "port": host.port, "hostKey": OTHER_KEY}}}  # fmt: skip
    with pytest.raises(MeshError, match="not the one that another host has for this bastion"):
        scan(file)


def make(path: Path, *wanted: str) -> dict[str, str]:
    """Make a stack file, saying yes."""
    return make_stack_file(
        path, [read_wanted(text) for text in wanted], "mesh0", show=lambda _: None, confirm=lambda _: None
    )


def test_a_first_file_is_complete(tmp_path: Path, ssh_config: Path, host: FakeHost) -> None:
    """`pulumi up` can follow; a host without a name is called as it calls itself."""
    configure(ssh_config, host.port)
    host.answer = "x86_64\n2: eth0    inet 78.11.11.11/32 scope global eth0\n"
    path = tmp_path / "stacks" / "Pulumi.office.yaml"
    assert make(path, "bernard") == {}
    configuration = StackFile(path).configuration()
    assert configuration.interfaces["mesh0"].hosts == ("bernard",)
    assert configuration.hosts["bernard"].external_ips == ("78.11.11.11",)


def test_hosts_that_all_roam_are_told_what_lets_them_meet(tmp_path: Path, ssh_config: Path, host: FakeHost) -> None:
    """As in one office, where no host has an address of the internet: a mesh of them would come up without a tunnel."""
    configure(ssh_config, host.port)
    host.answer = "x86_64\n2: eth0    inet 192.168.1.20/24 scope global eth0\n"
    said: list[object] = []
    wanted = [read_wanted("bernard"), read_wanted(f"carol=root@localhost:{host.port}")]
    path = tmp_path / "Pulumi.office.yaml"
    assert make_stack_file(path, wanted, "mesh0", show=said.append, confirm=lambda _: None) == {}
    assert said[-1] == (
        "mesh0: no two of these 2 hosts can meet; give those of one network a site and localIps, or name a relay"
    )


def test_a_host_behind_a_jump_that_is_named_by_its_address_is_called_as_it_calls_itself(
    tmp_path: Path, ssh_config: Path, host: FakeHost
) -> None:
    """The way there leads over the bastion too."""
    configure(ssh_config, host.port, "ProxyJump gate")
    ssh_config.write_text(
        ssh_config.read_text().replace("bernard", "10.9.9.9") + f"Host gate\n  HostName 127.0.0.1\n  Port {host.port}\n"
    )
    host.answer = "x86_64\n2: eth0    inet 78.11.11.11/32 scope global eth0\n"
    path = tmp_path / "Pulumi.office.yaml"
    assert make(path, "root@10.9.9.9") == {}
    [(name, entry)] = StackFile(path).hosts.items()
    # It gives that answer to `uname -n` too.
    assert name.startswith("2-eth0-inet-78.11.11.11")
    assert entry["ssh"]["bastion"]["port"] == host.port


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    """The second time, the way to add hosts is told."""
    path = tmp_path / "Pulumi.office.yaml"
    path.write_text("mine\n")
    with pytest.raises(MeshError, match="is there already; add hosts to it and run python -m mesh scan office"):
        make(path, "bernard")
    assert path.read_text() == "mine\n"


def test_nothing_is_written_when_no_host_answers(tmp_path: Path, ssh_config: Path) -> None:
    """So that the same command can be run again."""
    configure(ssh_config, 1)
    path = tmp_path / "Pulumi.office.yaml"
    with pytest.raises(
        MeshError, match="not written, since no host could be asked\n  host 'bernard': cannot be reached"
    ):
        make(path, "bernard")
    assert not path.exists()


def test_without_a_terminal_and_a_passphrase_the_next_commands_are_told(
    tmp_path: Path,
    ssh_config: Path,
    host: FakeHost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody would see Pulumi ask for one."""
    configure(ssh_config, host.port)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    path = tmp_path / "Pulumi.office.yaml"
    done = CliRunner().invoke(app_module.app, ["new", str(path), "bernard", "--yes", "--interface", "officewg"])
    assert done.exit_code == 0, done.output
    assert "officewg:" in path.read_text()
    assert "Pulumi.office.yaml: written" in done.stdout
    assert "pulumi up" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value", "makes"),
    [
        ("PULUMI_CONFIG_PASSPHRASE", "", True),
        ("PULUMI_CONFIG_PASSPHRASE", "words", True),
        ("PULUMI_CONFIG_PASSPHRASE_FILE", "/file", True),
        ("PULUMI_CONFIG_PASSPHRASE_FILE", "", False),
    ],
)
def test_an_empty_passphrase_is_one_as_it_is_for_pulumi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, makes: bool
) -> None:
    """Where it is set; an empty name of a file is none."""
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    monkeypatch.setattr(new_module, "find_engine", object)
    made: list[str] = []

    class Engine:
        def __init__(self, _: Path, stack: str) -> None:
            self.stack = stack

        def init(self) -> bool:
            made.append(self.stack)
            return True

    monkeypatch.setattr(new_module, "PulumiCli", Engine)
    steps = new_module.init_stack("office", tmp_path)
    assert made == (["office"] if makes else [])
    assert steps[0].startswith("pulumi preview" if makes else "export PULUMI_CONFIG_PASSPHRASE_FILE=FILE")


@pytest.mark.parametrize(
    ("options", "answer", "said"),
    [
        ((), None, "new: these keys need a yes, and there is no terminal; compare them, then add --yes"),
        ((), "n\n", "new: not confirmed, so nothing was written; compare the fingerprints and run it again"),
        (
            ("--interface", "mtu"),
            None,
            "--interface: 'mtu' is a word of ip, by which wg-quick makes interfaces, not an",
        ),
        (
            ("--interface", "a b"),
            None,
            "--interface: 'a b' is not an interface name; use 1 to 15 of letters, digits and",
        ),
    ],
)
def test_what_keeps_a_file_from_being_written_is_told_as_of_this_command(
    tmp_path: Path,
    ssh_config: Path,
    host: FakeHost,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    answer: str | None,
    said: str,
) -> None:
    """There is no file yet that could be scanned."""
    configure(ssh_config, host.port)
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    if answer:
        monkeypatch.setattr(app_module, "sys", terminal)
    path = tmp_path / "Pulumi.office.yaml"
    done = CliRunner().invoke(app_module.app, ["new", str(path), "bernard", *options], input=answer)
    assert isinstance(done.exception, MeshError)
    assert said in str(done.exception)
    assert not path.exists()


def test_a_file_whose_last_line_has_no_end_keeps_that_line(tmp_path: Path) -> None:
    """It may be what decrypts the stack's secrets."""
    path = tmp_path / "Pulumi.office.yaml"
    path.write_text("encryptionsalt: v1:abc=")
    assert StackFile(path, complete=True).content["encryptionsalt"] == "v1:abc="


def test_nothing_is_written_that_the_preview_would_refuse(tmp_path: Path, ssh_config: Path, host: FakeHost) -> None:
    """Nor is a stack made for it: two names for one machine are told now."""
    ssh_config.write_text(f"Host *\n  Port {host.port}\n")
    path = tmp_path / "Pulumi.office.yaml"
    host.answer = "x86_64\n2: eth0    inet 78.11.11.11/32 scope global eth0\n"
    configure(ssh_config, host.port)
    ssh_config.write_text(ssh_config.read_text().replace("Host bernard", "Host bernard carol"))
    with pytest.raises(MeshError, match=r"Pulumi.office.yaml was not written, since it would have: \d fault"):
        make(path, "bernard", "carol")
    assert list(tmp_path.glob("*.yaml")) == []


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        ("a/b", "'a/b': no name of a stack; use letters, digits and _ . -"),
        ("a b", "'a b': no name of a stack; use letters, digits and _ . -"),
        ("x.yaml", "'x.yaml': names no stack; give the name of a stack, or call it Pulumi.NAME.yaml"),
        ("Pulumi.a b.yaml", "'Pulumi.a b.yaml': names no stack; give the name of a stack, or call it Pulumi.NAME.yaml"),
    ],
)
def test_what_names_no_stack_is_told_as_it_was_given(stack: str, told: str) -> None:
    """Not a part of it."""
    with pytest.raises(MeshError, match=f"^{re.escape(told)}$"):
        name_stack_file(stack)
