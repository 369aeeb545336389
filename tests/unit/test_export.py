"""What `python -m mesh export` prints, read by the programs that it is for."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mesh.cli.app import app
from mesh.errors import MeshError
from tests.sshd import find_sshd, make_key, run_sshd
from tests.strategies import HOST_KEY

BASTION_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEX6CdHjzXmlMhdWRJNgDRKsRYFON/Omi/C0oq8T/2Wy"
HOSTS: dict[str, Any] = {
    "bernard": {"externalIps": ["78.11.11.11"], "ssh": {"address": "10.0.0.5", "hostKey": HOST_KEY}},
    # Ansible would read the name as a number, and these words as what they are not.
    "1e3": {
        "site": 'the "old" office {{ 7 * 7 }}',
        "tags": ["db: [x", "no", "a\nb"],
        "ssh": {
            "address": "fe80::5%eth0",
            "port": 2222,
            "user": "OFFICE\\admin",
            "hostKey": HOST_KEY,
            "bastion": {"address": "2001:db8::2", "port": 2200, "user": "jump", "hostKey": BASTION_KEY},
        },
    },
}
INTERFACES: dict[str, Any] = {
    "testwg": {
        "hosts": ["bernard", "1e3"],
        "ipv4": "10.20.0.0/24",
        "members": {
            "bernard": {"ipv4": "10.20.0.1", "address": "fd12:1::1/64"},
            "1e3": {"ipv4": "10.20.0.2", "address": "fd12:2::1/64"},
        },
        "peers": {"phone": {"ipv4": "10.20.0.3", "address": "fd12:3::1/64"}},
    },
    "wg-back": {"hosts": ["bernard"], "port": 51900},
    "wg_lab": {"hosts": ["bernard"], "port": 51901},
}


@pytest.fixture
def stack(tmp_path: Path) -> str:
    """Return the path of a stack file with two meshes."""
    path = tmp_path / "Pulumi.test.yaml"
    with path.open("w") as file:
        YAML().dump({"config": {"mesh:hosts": HOSTS, "mesh:interfaces": INTERFACES}}, file)
    return str(path)


def export(*words: str) -> str:
    """Return what the command prints."""
    done = CliRunner().invoke(app, ["export", *words])
    assert done.exit_code == 0, done.output or done.exception
    return done.stdout


def run(tool: str, *words: str | Path) -> str:
    """Return what the program says that reads the export, and skip the test where it is missing."""
    if shutil.which(tool) is None:
        pytest.skip(f"there is no {tool} on this machine")
    done = subprocess.run([tool, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings_of(file: Path, name: str) -> dict[str, str]:
    """Return what ssh makes of a name."""
    return dict(line.split(" ", 1) for line in run("ssh", "-G", "-F", file, name).splitlines() if " " in line)


def test_ssh_takes_the_way_of_the_stack_file_and_that_over_the_mesh(stack: str, tmp_path: Path) -> None:
    """By name through a bastion, by mesh name and address without."""
    file = tmp_path / "ssh config"
    file.write_text(export("ssh-config", stack))
    direct = settings_of(file, "1e3")
    assert direct["user"] == "OFFICE\\admin"
    assert (direct["hostname"], direct["port"]) == ("fe80::5%eth0", "2222")
    jump = settings_of(file, direct["proxyjump"])
    assert (jump["hostname"], jump["port"], jump["user"]) == ("2001:db8::2", "2200", "jump")
    for name in ("1e3.testwg", "fd12:2::1", "10.20.0.2"):
        inside = settings_of(file, name)
        assert (inside["hostname"], inside["port"], inside["user"]) == ("fd12:2::1", "2222", "OFFICE\\admin")
        assert "proxyjump" not in inside
    assert direct["stricthostkeychecking"] == "ask"


def test_ssh_trusts_the_pinned_keys_and_no_others(stack: str, tmp_path: Path) -> None:
    """Whatever other files say of the host."""
    keys = tmp_path / "known hosts %h"
    file = tmp_path / "config"
    file.write_text(export("ssh-config", stack, "--known-hosts", str(keys)))
    for name, key in {"bernard": HOST_KEY, "1e3.testwg": HOST_KEY, "1e3_bastion": BASTION_KEY}.items():
        found = settings_of(file, name)
        assert found["stricthostkeychecking"] == "true"
        assert found["globalknownhostsfile"] == "/dev/null"
        assert found["userknownhostsfile"].replace("%%", "%") == str(keys)
        assert run("ssh-keygen", "-F", found["hostkeyalias"], "-f", keys).splitlines()[1].endswith(key)
    assert HOST_KEY in run("ssh-keygen", "-F", "[fd12:2::1]:2222", "-f", keys)
    assert HOST_KEY in run("ssh-keygen", "-F", "fd12:1::1", "-f", keys)


def test_ansible_reads_the_inventory(stack: str, tmp_path: Path) -> None:
    """With groups under names that it allows, and texts as they are."""
    file = tmp_path / "inventory.json"
    file.write_text(export("ansible", stack))
    found = json.loads(run("ansible-inventory", "-i", file, "--list", "--export"))
    assert set(found["mesh_testwg"]["hosts"]) == {"bernard", "1e3"}
    assert found["mesh_wg_back"]["hosts"] == ["bernard"]
    assert {"site_the__old__office____7___7___", "tag_db___x", "tag_no", "tag_a_b"} <= found.keys()
    host = found["_meta"]["hostvars"]["1e3"]
    assert host == {
        "ansible_host": "fe80::5%eth0",
        "ansible_port": 2222,
        "ansible_user": "OFFICE\\admin",
        "ansible_become": True,
        "ansible_ssh_common_args": "-o 'ProxyCommand=ssh -W '\"'\"'[%h]:%p'\"'\"' -p 2200 -l jump 2001:db8::2'",
        "mesh_addresses": {"testwg": ["fd12:2::1", "10.20.0.2"]},
    }


@pytest.mark.parametrize(
    ("user", "address"), [("jump", "2001:db8::2"), ("CORP\\jump", "10.0.0.9"), ("a.b@corp", "fe80::2%eth0")]
)
def test_ssh_logs_in_to_the_bastion_of_the_inventory_as_the_stack_file_says(
    tmp_path: Path, user: str, address: str
) -> None:
    """Through the shells of Ansible and of ssh, to each of which a backslash means something."""
    way = {"address": address, "port": 2200, "user": user, "hostKey": BASTION_KEY}
    hosts = {"bernard": {"ssh": {"address": "10.0.0.5", "hostKey": HOST_KEY, "bastion": way}}}
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(
        json.dumps({"config": {"mesh:hosts": hosts, "mesh:interfaces": {"testwg": {"hosts": ["bernard"]}}}})
    )
    own = json.loads(export("ansible", str(path)))["all"]["hosts"]["bernard"]
    # In the place of the user's shell, what tells which words it would run.
    shell = tmp_path / "shell"
    shell.write_text(f"""#!/bin/sh\neval "set -- ${{2#exec }}"\nprintf '%s\\n' "$@" >{tmp_path}/said\nexit 1\n""")
    shell.chmod(0o755)
    words = ["ssh", "-F", "/dev/null", *shlex.split(own["ansible_ssh_common_args"]), own["ansible_host"], "true"]
    if shutil.which("ssh") is None:
        pytest.skip("there is no ssh on this machine")
    subprocess.run(words, env={**os.environ, "SHELL": str(shell)}, capture_output=True, check=False)
    said = (tmp_path / "said").read_text().splitlines()
    assert said == ["ssh", "-W", "[10.0.0.5]:22", "-p", "2200", "-l", user, address]


def test_hosts_are_lines_of_etc_hosts(stack: str) -> None:
    """Peers that no run reaches are among them."""
    lines = export("hosts", stack, "--interface", "testwg").splitlines()
    assert [line.split() for line in lines] == [
        ["fd12:2::1", "1e3.testwg"],
        ["10.20.0.2", "1e3.testwg"],
        ["fd12:1::1", "bernard.testwg"],
        ["10.20.0.1", "bernard.testwg"],
        ["fd12:3::1", "phone.testwg"],
        ["10.20.0.3", "phone.testwg"],
    ]


def test_prometheus_reads_the_targets(stack: str, tmp_path: Path) -> None:
    """At the addresses inside the mesh, on the port that is given."""
    file = tmp_path / "mesh.json"
    file.write_text(export("prometheus-sd", stack, "--port", "9586"))
    targets = json.loads(file.read_text())
    assert targets[0]["targets"] == ["[fd12:2::1]:9586"]
    assert [target["labels"]["interface"] for target in targets] == ["testwg", "testwg", "wg-back", "wg_lab"]
    config = tmp_path / "prometheus.yml"
    job = {"job_name": "mesh", "file_sd_configs": [{"files": [str(file)]}]}
    config.write_text(json.dumps({"scrape_configs": [job]}))
    assert "SUCCESS" in run("promtool", "check", "config", config)
    # It would say so of a file that it cannot use.
    file.write_text(file.read_text().replace('"targets"', '"goals"'))
    assert subprocess.run(["promtool", "check", "config", config], capture_output=True, check=False).returncode


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--origin", "mesh.example.org", "--name-server", "ns1.example.net"],
        ["--origin", "mesh.example.org", "--name-server", "Bernard.mesh.example.org"],
    ],
)
def test_a_dns_server_loads_the_zone(stack: str, tmp_path: Path, options: list[str]) -> None:
    """Under the name of the interface, or another."""
    file = tmp_path / "zone"
    file.write_text(export("zone", stack, "--interface", "testwg", *options))
    origin = options[1] if options else "testwg"
    # Whether the name server has an address is not asked of the network.
    said = run("named-checkzone", "-i", "local", "-D", origin, file)
    records = {(words[0], *words[3:]) for line in said.splitlines() if len(words := line.split()) == 5}
    assert (f"1e3.{origin}.", "AAAA", "fd12:2::1") in records
    assert (f"phone.{origin}.", "A", "10.20.0.3") in records
    assert (f"{origin}.", "NS", f"{options[3] if options else 'localhost'}.") in records


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["zone"], "has testwg and wg-back and wg_lab, and this takes one; choose it with --interface"),
        (["zone", "--interface", "testwg", "--origin", "a b"], "'a b' is no DNS name"),
        (["zone", "--interface", "wg_lab"], "'wg_lab' is no DNS name; give one such as mesh.example.org"),
        (["hosts", "--interface", "nowg"], "has no interface 'nowg'; give one of testwg, wg-back, wg_lab"),
        (
            ["ssh-config", "--known-hosts", 'a"b'],
            "--known-hosts: a path that ssh's configuration cannot hold; give one",
        ),
        (["ssh-config", "--known-hosts", ""], "is a folder; name a file in it"),
        (
            ["zone", "--interface", "testwg", "--origin", "mesh.example.org", "--name-server", "ns1.Mesh.example.org"],
            "zone: ns1.Mesh.example.org is in the zone itself, and no participant is called so; give as --name-server",
        ),
        (
            ["zone", "--interface", "testwg", "--name-server", "testwg"],
            "zone: testwg is in the zone itself, and no participant is called so; give as --name-server HOST.testwg of",
        ),
        (
            ["zone", "--interface", "testwg", "--origin", ".".join(["a" * 61] * 4)],
            " is longer than DNS allows; give a shorter --origin",
        ),
        (["zone", "--interface", ""], "has no interface ''; give one of testwg"),
        (["zone", "--interface", "testwg", "--origin", ""], "zone: '' is no DNS name"),
        (["ssh-config", "--known-hosts", "/nowhere/at/all"], "/nowhere/at/all: No such file or directory; choose"),
    ],
)
def test_what_cannot_be_exported_is_told(stack: str, words: list[str], message: str) -> None:
    """With what to do."""
    done = CliRunner().invoke(app, ["export", words[0], stack, *words[1:]])
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("formats", "names", "message"),
    [
        (("ssh-config",), ("a", "a.w0"), "export: a.w0 would be the name of a and of a.w0; rename one of the two"),
        (("ssh-config", "zone", "hosts"), ("A", "a"), "export: [Aa](.w0)? would be the name of A( on w0)? and of a"),
    ],
)
def test_a_name_is_never_that_of_two_machines(
    tmp_path: Path, formats: tuple[str, ...], names: tuple[str, str], message: str
) -> None:
    """One would get what is for the other, and its key would be trusted for both."""
    hosts = {name: {"ssh": {"address": f"10.0.0.{n}", "hostKey": HOST_KEY}} for n, name in enumerate(names)}
    hosts["b"] = {"externalIps": ["78.11.11.11"], "ssh": {"address": "10.0.0.9", "hostKey": HOST_KEY}}  # type: ignore[dict-item]
    path, keys = tmp_path / "Pulumi.test.yaml", tmp_path / "keys"
    interfaces = {"w0": {"hosts": [*names, "b"]}}
    path.write_text(json.dumps({"config": {"mesh:hosts": hosts, "mesh:interfaces": interfaces}}))
    for form in formats:
        options = ["--known-hosts", str(keys)] if form == "ssh-config" else []
        with pytest.raises(MeshError, match=message):
            CliRunner().invoke(app, ["export", form, str(path), *options], catch_exceptions=False)
    assert not keys.exists()
    assert export("prometheus-sd", str(path))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            ({"tags": ["eu-west"]}, {"tags": ["eu_west"]}),
            "export: tag_eu_west would be the name of tag 'eu-west' and of tag 'eu_west'; rename one of the two",
        ),
        (({"site": "Köln"}, {"site": "K-ln"}), "export: site_K_ln would be the name of site 'Köln' and of site 'K-ln'"),
        (({"tags": ["EU"]}, {"tags": ["eu"]}), ""),
    ],
)
def test_a_group_of_the_inventory_is_never_two_groups(
    tmp_path: Path, entries: tuple[dict[str, Any], ...], message: str
) -> None:
    """What is run on the one would be run on the other's hosts."""
    hosts = {
        f"h{n}": {"ssh": {"address": f"10.0.0.{n}", "hostKey": HOST_KEY}, **entry} for n, entry in enumerate(entries)
    }
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(json.dumps({"config": {"mesh:hosts": hosts, "mesh:interfaces": {"w0": {"hosts": ["h0", "h1"]}}}}))
    done = CliRunner().invoke(app, ["export", "ansible", str(path)])
    assert message in str(done.exception or "")
    assert bool(done.exception) is bool(message)


def test_a_host_that_is_reached_by_the_name_of_another_gets_no_line_with_it(tmp_path: Path) -> None:
    """Both keys would be trusted for that name."""
    keys = {"a": HOST_KEY, "b": BASTION_KEY}
    hosts = {name: {"ssh": {"address": "b", "hostKey": key}} for name, key in keys.items()}
    path = tmp_path / "Pulumi.test.yaml"
    hosts["b"]["ssh"]["address"] = "10.0.0.9"
    path.write_text(json.dumps({"config": {"mesh:hosts": hosts, "mesh:interfaces": {"w0": {"hosts": ["a", "b"]}}}}))
    with pytest.raises(MeshError, match="export: b would be the name of b and of a; rename one of the two"):
        CliRunner().invoke(
            app, ["export", "ssh-config", str(path), "--known-hosts", str(tmp_path / "x")], catch_exceptions=False
        )
    assert "Host a\n" in export("ssh-config", str(path))


def test_hosts_in_a_file_of_their_own_are_exported(tmp_path: Path) -> None:
    """As Pulumi would find them."""
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "hosts.yaml").write_text(json.dumps(HOSTS))
    path = tmp_path / "stacks/Pulumi.test.yaml"
    path.write_text(json.dumps({"config": {"mesh:hostsFile": "hosts.yaml", "mesh:interfaces": INTERFACES}}))
    assert "bernard.testwg" in export("hosts", str(path))


@pytest.mark.parametrize("is_pinned", [True, False])
def test_ssh_connects_to_the_host_with_the_pinned_key_only(tmp_path: Path, is_pinned: bool) -> None:
    """By the two files alone, and a server with another key is refused."""
    if find_sshd() is None or os.geteuid():
        pytest.skip("there is no sshd on this machine, or no root")
    keys, config, path = tmp_path / "known_hosts", tmp_path / "config", tmp_path / "Pulumi.test.yaml"
    client = make_key(tmp_path / "client")
    (tmp_path / "sshd").mkdir()
    with run_sshd(tmp_path / "sshd", "") as sshd:
        sshd.authorize(client.with_name("client.pub").read_text())
        pinned = sshd.host_key if is_pinned else HOST_KEY
        hosts = {"bernard": {"ssh": {"address": "127.0.0.1", "port": sshd.port, "hostKey": pinned}}}
        content = {"config": {"mesh:hosts": hosts, "mesh:interfaces": {"testwg": {"hosts": ["bernard"]}}}}
        path.write_text(json.dumps(content))
        config.write_text(export("ssh-config", str(path), "--known-hosts", str(keys)))
        options = ["-i", str(client), "-o", "BatchMode=yes", "-o", "IdentityAgent=none"]
        words = ["ssh", "-F", str(config), *options, "bernard", "echo in"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60)
    assert done.stdout == ("in\n" if is_pinned else "")
    assert ("Host key verification failed" in done.stderr) is not is_pinned
