"""What a debug bundle asks of hosts, and the archive that it becomes."""

import subprocess
from pathlib import Path
from typing import cast

import pytest

from mesh.cli import host_logs
from mesh.cli.bundle_command import archive_of
from mesh.cli.names_to_hide import learn_roster, learn_stack_file
from mesh.cli.redaction import Redaction
from mesh.cli.words_of_everybody import words_of_everybody
from mesh.config.connection import Connection
from mesh.config.reader import read_configuration
from mesh.stored.forms import RecordedRollout
from tests.strategies import HOST_KEY


def test_an_archive_is_the_same_for_the_same_files() -> None:
    """Neither a time nor a user is in it."""
    assert archive_of({"a.txt": "1", "b.txt": "2"}) == archive_of({"b.txt": "2", "a.txt": "1"})


def test_the_log_of_a_host_without_a_journal_is_in_the_files_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of them, as far as they are about our units; a first line that is cut may be the rest of a key."""
    file = tmp_path / "messages"
    lines = [f"Nov 29 07:00:00 own mesh-testwg: line {number:06}\n" for number in range(2000)]
    file.write_text("Nov 28 sshd: of others\n" + "".join(lines) + "\x1b[2J mesh-testwg: odd\n")
    monkeypatch.setattr(host_logs, "_FILES", f"{file} {tmp_path}/none")
    script = host_logs.logs_script(["testwg"]).replace("/run/systemd/system", str(tmp_path / "none"))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    found = host_logs.read_log(done.stdout)
    assert found.machine == Path("/proc/sys/kernel/hostname").read_text().strip()
    assert found.log.splitlines()[-2:] == [lines[-1].strip(), "\\x1b[2J mesh-testwg: odd"]
    assert 60_000 < len(found.log) <= 64 << 10
    assert found.log.startswith("Nov 29 07:00:00 own mesh-testwg: line ")
    assert "of others" not in found.log


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mesh-boot@testwg.service: bernard.testwg, BERNARD", "mesh-boot@mesh-1.service: host-1.mesh-1, host-1"),
        ("/etc/wireguard/testwg.conf mesh_doctor_testwg", "/etc/wireguard/mesh-1.conf mesh_doctor_mesh-1"),
        ("alice@a.example.org root@10.1.1.1 /home/alice/x", "user-1@name-1.example root@192.0.2.1 /home/user-1/x"),
        ("bernard.corp.example.org and db.bernard.org", "host-1.name-1.example and name-2.example"),
        ("[fd00:1:2:3::1]:51820 of fd00:1:2:3::/64", "[2001:db8:0:1::1]:51820 of 2001:db8:0:1::/64"),
        ("2026-11-29T07:14:11Z 12:34:56 6.12.0-amd64 1.2.3", "2026-11-29T07:14:11Z 12:34:56 6.12.0-amd64 1.2.3"),
        ("net.core.rmem_max, ::1 0.0.0.0/0", "net.core.rmem_max, ::1 0.0.0.0/0"),
        ("check ssh.address; multi-user.target", "check ssh.address; multi-user.target"),
        ("mlkem768x25519-sha256@openssh.com", "mlkem768x25519-sha256@openssh.com"),
        ("02:42:ac:11:00:02 peer:fe80::1%testwg", "mac-1 peer:2001:db8::1%mesh-1"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBb/ ada@desk", "ssh-ed25519 key-1"),
        ("mesh:hosts.bernard.externalIps[0]: missing", "mesh:hosts.host-1.externalIps[0]: missing"),
        ("testwg.conf.new bernard.lan bernard.acmecorp", "mesh-1.conf.new host-1.lan host-1.name-1.example"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", "[key]"),
    ],
)
def test_a_text_keeps_all_that_tells_nothing(text: str, shown: str) -> None:
    """And names of units, folders and tables stay readable."""
    redaction = Redaction(words_of_everybody())
    redaction.learn("host", ["bernard"])
    redaction.learn("mesh", ["testwg"])
    assert redaction.text(text) == shown


def test_every_name_of_a_place_that_the_stack_file_or_the_state_tells_is_hidden() -> None:
    """Also one that does not look like a name: without a dot, or with a digit or a hyphen in its last label."""
    bastion = {"address": "gate.acme.k8s", "hostKey": HOST_KEY}
    ssh = {"address": "way_in", "hostKey": HOST_KEY, "bastion": bastion}
    mesh = {"hosts": ["bernard"], "peers": {"phone": {"endpoint": "router.:51820"}, "tv": {"endpoint": "tv.my-lab:1"}}}
    redaction = Redaction(words_of_everybody())
    learn_stack_file(
        redaction, read_configuration({"bernard": {"ssh": ssh, "externalName": "home-1"}}, {"testwg": mesh})
    )
    way: Connection = {"address": "alpha.acme-corp", "port": 22, "user": "ada", "sudo": True, "hostKey": HOST_KEY}
    member = {"publicKey": "x", "address": "fd00::1/64", "endpoint": "vpn.acme2:51820", "keepalive": 0, "ssh": way}
    roster = {"interface": "testwg", "members": {"alpha": member}, "forgotten": []}
    learn_roster(redaction, cast("RecordedRollout", {"roster": roster, "notWiped": []}))
    said = redaction.text(
        "home-1:51820 router.:51820 at way_in by gate.acme.k8s, tv.my-lab, vpn.acme2, ALPHA.acme-corp"
    )
    assert not [name for name in ("home-1", "router", "way_in", "acme", "my-lab", "ALPHA") if name in said]
    # What nobody told looks like a name all the same.
    assert redaction.text("vault.acme-corp, nas.home2") == "name-6.example, name-7.example"
