"""`python -m mesh bundle` on the real engine: what is in it, and what is not."""

import io
import json
import platform
import re
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.engine.conftest import Maker
from tests.engine.stack import Stack

LOGGED = "QJ3GKuDn0Yp7zRsvkVgfH+2lZEl5pUeXG9cwBYKHq1E="


@pytest.fixture(scope="module")
def stack(make_stack: Maker) -> Stack:
    """Return a stack of three hosts and a phone, one host of which is dead since the rollout."""
    stack = make_stack(3)
    mesh = {"hosts": ["h1", "h2", "h3"], "deadline": 10, "unreachable": "skip", "peers": {"kays-phone": {}}}
    stack.write({"office": mesh})
    stack.up()
    stack.hosts["h1"].says["log"] = lambda said: [said, f"h1: key {LOGGED} of 78.11.12.13 (vpn.example.org)\n".encode()]
    stack.hosts.become("h3", "dead")
    return stack


def read(path: Path) -> dict[str, str]:
    """Return the files of an archive, each of which its owner alone can read, without a time or a user."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files = {}
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        for entry in archive.getmembers():
            assert (entry.mode, entry.mtime, entry.uid, entry.uname) == (0o600, 0, 0, "")
            file = archive.extractfile(entry)
            assert file
            files[entry.name.removeprefix("mesh-bundle/")] = file.read().decode()
    return files


def test_a_bundle_tells_all_and_names_nobody(stack: Stack, tmp_path: Path) -> None:
    """Also with a dead host among the members; what one file calls a thing, all do."""
    path = tmp_path / "bundle.tar.gz"
    done = stack.companion("bundle", "--output", str(path))
    assert done.code == 0, done.text
    assert "look through it before you send it" in done.output
    assert "could not be had: hosts/h3: " in done.output
    # As it says itself.
    told = re.search(r"tar -xzf \S+(?=, then read mesh-bundle/README.txt)", " ".join(done.output.split()))
    assert told
    subprocess.run(told[0].split(), cwd=tmp_path, check=True)
    assert "What could not be had:" in (tmp_path / "mesh-bundle/README.txt").read_text()
    files = read(path)
    assert files.keys() == {
        *("README.txt", "versions.txt", "stack-file.yaml", "plan.json", "status.json", "doctor.json"),
        *(f"hosts/host-{number}/{name}.txt" for number in (1, 2) for name in ("system", "journal")),
    }
    text = "\n".join(files.values())
    known = {*stack.hosts.secrets, LOGGED, stack.environment["PULUMI_CONFIG_PASSPHRASE"]}
    known |= {"h1", "h2", "h3", "office", "kays-phone", "vpn.example.org", "78.11.12.13", platform.node()}
    known |= {stack.hosts.host_key.split()[1], *stack.public_keys("office").values()}
    known |= {
        entry["address"] for entry in stack.resources()["office/rollout"]["outputs"]["roster"]["members"].values()
    }
    assert [value for value in known if re.search(rf"(?<![\w]){re.escape(value)}(?![\w])", text)] == []
    assert re.findall(r"[A-Za-z0-9+/]{43}=", text) == []
    plan, status = json.loads(files["plan.json"])["mesh-1"], json.loads(files["status.json"])["meshes"]["mesh-1"]
    members = plan["roster"]["members"]
    assert members.keys() == {"host-1", "host-2", "host-3"}
    assert {host["host"]: host["address"] for host in status["hosts"]} == {
        name: member["address"] for name, member in members.items()
    }
    assert {host["host"]: host["state"] for host in status["hosts"]}["host-3"] == "unreachable"
    assert [each["host"] for each in json.loads(files["doctor.json"])["meshes"]["mesh-1"]["findings"]] == ["host-3"]
    assert "host-3" in files["README.txt"]
    assert "engine 3." in files["versions.txt"]
    assert re.search(r"host-1: key key-\d+ of 192\.0\.2\.\d+ \(name-1\.example\)", files["hosts/host-1/journal.txt"])


def test_with_names_kept_it_still_has_no_secret(stack: Stack, tmp_path: Path) -> None:
    """What is a public key of the plan stays, and what else looks like one does not."""
    path = tmp_path / "bundle.tar.gz"
    done = stack.companion("bundle", "test", "--keep-names", "--output", str(path))
    assert "do not send it to others" in done.output
    files = read(path)
    assert files["hosts/h1/journal.txt"].endswith("h1: key [key] of 78.11.12.13 (vpn.example.org)\n")
    text = "\n".join(files.values())
    assert [secret for secret in stack.hosts.secrets if secret in text] == []
    assert all(key in text for key in stack.public_keys("office").values())
    assert stack.companion("bundle", "--output", str(path)).text.count("is there already") == 1


def test_without_a_state_and_with_a_fault_there_is_a_bundle_all_the_same(stack: Stack, tmp_path: Path) -> None:
    """Each file says what is missing."""
    path = tmp_path / "bundle.tar.gz"
    file = stack.stack_file
    kept = file.read_text()
    file.write_text(kept.replace("deadline: 10", "deadline: many"))
    stack.environment["PULUMI_BACKEND_URL"] = f"file://{tmp_path}"
    try:
        done = stack.companion("bundle", "test", "--output", str(path))
    finally:
        file.write_text(kept)
        stack.environment["PULUMI_BACKEND_URL"] = f"file://{stack.state}"
    assert done.code == 0, done.text
    files = read(path)
    assert "1 fault to correct" in files["stack-file.yaml"]
    assert "no stack named 'stack-1' found" in files["README.txt"]
    assert str(stack.folder) not in "".join(files.values())
    assert "office" not in "".join(files.values())
    assert "error" in json.loads(files["status.json"])


def test_a_bundle_has_no_name_of_a_place_and_every_word_of_everybody(make_stack: Maker, tmp_path: Path) -> None:
    """Also names that end as no domain of the internet does; and before anything was rolled out."""
    stack = make_stack(1)
    ways = {"externalIps": [], "externalName": "gate.acme.k8s", "site": "address", "tags": ["relay"]}
    peers = {"phone": {"endpoint": "rt.acme-corp:51820"}}
    bastion = {"address": "jump.acme.k8s", "hostKey": stack.hosts.host_key}
    stack.write(
        {"wg0": {"hosts": ["h1"], "relay": "h1", "peers": peers}}, entries={"h1": ways}, h1={"bastion": bastion}
    )
    path = tmp_path / "bundle.tar.gz"
    done = stack.companion("bundle", "--output", str(path))
    assert done.code == 0, done.text
    files = read(path)
    assert [name for name in ("acme", "k8s", "jump") if name in "".join(files.values())] == []
    assert "relay: host-1" in files["stack-file.yaml"]
    assert "address: 127.0.0.1" in files["stack-file.yaml"]
