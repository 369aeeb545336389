"""The mesh as a part of a bigger program: the wheel, an example program with it, and values that come later."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mesh.wireguard.addressing import derive_subnet, host_address
from tests.engine.conftest import Maker
from tests.engine.stack import Outcome, Stack, record_pip

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "stacks/examples/program"
MACHINES = "import json, os, pulumi\npulumi.export('machines', json.loads(os.environ['MACHINES']))\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment into which pip has put the wheel, with the locked packages of this one."""
    folder = tmp_path_factory.mktemp("user") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    words = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(words, check=True, capture_output=True, text=True)
    [packages] = folder.glob("lib/python*/site-packages")
    assert (packages / "mesh/__init__.py").is_file()
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return record_pip(folder, folder.with_name("recorded"))


class Programs:
    """Two projects beside each other on one backend: one makes the machines, the other is the example program."""

    def __init__(self, stack: Stack, environment: Path, patch: tuple[str, str] = ("", "")) -> None:
        """Lay them down; `patch` replaces a part of the example."""
        self.stack = stack
        self.makers, self.network = stack.folder.parent / "makers", stack.folder.parent / "network"
        for folder in (self.makers, self.network):
            folder.mkdir()
        (self.makers / "Pulumi.yaml").write_text(
            f"name: makers\nruntime: {{name: python, options: {{virtualenv: {environment}}}}}\n"
        )
        (self.makers / "__main__.py").write_text(MACHINES)
        shutil.copy(EXAMPLE / "Pulumi.yaml", self.network)
        (self.network / ".venv").symlink_to(environment)
        (self.network / "__main__.py").write_text((EXAMPLE / "__main__.py").read_text().replace(*patch))
        stack.environment["MACHINES"] = json.dumps(
            {
                name: {"publicIp": f"198.51.100.{number}", "address": "127.0.0.1", "hostKey": stack.hosts.host_key}
                for number, name in enumerate(stack.hosts.by_name, 1)
            }
        )
        self.run(self.makers, "stack", "init", "test")
        self.run(self.makers, "up", "--yes", "--skip-preview")
        self.run(self.network, "stack", "init", "test")
        ports = {name: host.port for name, host in stack.hosts.by_name.items()}
        for name, value in (
            ("machines", "organization/makers/test"),
            ("names", json.dumps(list(ports))),
            ("sshPorts", json.dumps(ports)),
        ):
            self.run(self.network, "config", "set", name, value)

    def run(self, folder: Path, *words: str, succeeds: bool = True) -> Outcome:
        """Run pulumi in one of the two projects."""
        before, self.stack.folder = self.stack.folder, folder
        try:
            outcome = self.stack.run(*words)
        finally:
            self.stack.folder = before
        assert (outcome.code == 0) == succeeds, outcome.text
        return outcome

    def companion(self, *words: str) -> Outcome:
        """Run `mesh`, as the wheel installs it, in the example's folder, and return how it ended."""
        done = subprocess.run(
            [self.network / ".venv/bin/mesh", *words], cwd=self.network, stdin=subprocess.DEVNULL, capture_output=True,
            env={**self.stack.environment, "COLUMNS": "200"}, text=True, check=False, timeout=600,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr, 0)

    def up(self, *words: str, succeeds: bool = True) -> Outcome:
        """Bring the example up."""
        return self.run(self.network, "up", "--yes", "--skip-preview", *words, succeeds=succeeds)

    def outputs(self) -> dict[str, Any]:
        """Return what the example exports."""
        found: dict[str, Any] = json.loads(self.run(self.network, "stack", "output", "--json").output)
        return found


def test_the_wheel_holds_the_host_program_and_its_types(wheel: Path) -> None:
    """And none of the tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "mesh/host").rglob("*.sh")} <= names
    assert "mesh/py.typed" in names
    assert not any(name.startswith("tests") for name in names)


def test_machines_of_another_stack_become_a_mesh(make_stack: Maker, environment: Path) -> None:
    """The example as it stands: a preview, an up that proves it, one that changes nothing, and the end of it."""
    programs = Programs(make_stack(3), environment)
    hosts = programs.stack.hosts
    programs.run(programs.network, "preview")
    programs.up()
    outputs = programs.outputs()
    assert outputs["addresses"] == {
        name: str(host_address(derive_subnet(name, "backend")).ip) for name in hosts.by_name
    }
    assert outputs["backend"]["hosts"]["h2"]["endpoint"] == "198.51.100.2:51825"
    running = {name: host.public_key("backend") for name, host in hosts.by_name.items()}
    assert running == {name: host["publicKey"] for name, host in outputs["backend"]["hosts"].items()}
    programs.up("--expect-no-changes")
    programs.run(programs.network, "preview", "--refresh", "--expect-no-changes")
    programs.run(programs.network, "destroy", "--yes", "--skip-preview")
    assert {host.public_key("backend") for host in hosts.by_name.values()} == {None}


def test_a_host_that_is_gone_for_good_is_forgotten_by_a_setting(make_stack: Maker, environment: Path) -> None:
    """The preview names it, since the command that writes it into a stack file has none here; and so does the page."""
    programs = Programs(
        make_stack(3), environment, ('"names": True', '"names": True, **(config.get_object("more") or {})')
    )
    with (programs.network / "__main__.py").open("a") as program:
        # An output of its own is no mesh, whatever is in it.
        program.write('pulumi.export("jobs", {"pending": 3})\n')
    programs.up()
    programs.stack.hosts.become("h3", "dead")
    programs.run(programs.network, "config", "set", "names", json.dumps(["h1", "h2"]))
    programs.up()
    line = 'if it is gone for good: set "forgotten": ["h3"] for backend'
    assert line in programs.run(programs.network, "preview").text
    programs.run(programs.network, "config", "set", "more", '{"forgotten": ["h3"]}')
    programs.up()
    assert programs.outputs()["backend"]["notWiped"] == []


def test_the_page_tells_which_commands_know_a_program_of_ones_own(make_stack: Maker, environment: Path) -> None:
    """Those that read the state work, and those that read a stack file say that there is none."""
    page = " ".join((ROOT / "docs/tasks/library.md").read_text().split())
    told = page.partition("the commands that read a stack file (")[2].partition(")")[0]
    programs = Programs(make_stack(2), environment, ('"names": True}', '"names": True, "peers": {"phone": {}}}'))
    exports = re.search(r"`(pulumi\.export\(.*?\))`", page)
    assert exports
    with (programs.network / "__main__.py").open("a") as program:
        program.write(f"{exports[1]}\n")
    programs.up()
    for words in (
        ["peer", "phone"], ["status", "--no-ping"], ["doctor"], ["metrics"], ["page", "--output", "mesh.html"],
        ["ping", "h1", "h2"],
        ["up", "--", "--yes", "--skip-preview"], ["up", "--skip-unreachable", "--", "--yes", "--skip-preview"],
    ):  # fmt: skip
        outcome = programs.companion(*words)
        assert outcome.code == 0, f"{words}: {outcome.text}"
        assert f"`{words[0]}`" not in told
    for words in (
        ["plan"], ["forget", "h2"], ["export", "hosts", "test"], ["graph", "test"], ["scan", "test"],
        ["allocate", "test"], ["adopt", "test"], ["up", "--only", "h1"],
    ):  # fmt: skip
        outcome = programs.companion(*words)
        assert outcome.code == 1, f"{words}: {outcome.text}"
        assert "Traceback" not in outcome.text
        assert f"`{' '.join(words[:2]) if words[0] == 'up' else words[0]}`" in told


_KNOWN = 'machines = pulumi.StackReference(config.require("machines")).require_output("machines")'
_UNKNOWN = """import pulumi_random
made = pulumi_random.RandomId("machine", byte_length=4)
other = pulumi.StackReference(config.require("machines")).require_output("machines")
machines = pulumi.Output.all(made.hex, other).apply(lambda known: known[1])
"""


def test_machines_that_are_made_in_the_same_run_become_a_mesh(make_stack: Maker, environment: Path) -> None:
    """Their addresses and host keys are not known in the preview; a wrong one is refused as in a stack file."""
    programs = Programs(make_stack(2), environment, (_KNOWN, _UNKNOWN))
    preview = programs.run(programs.network, "preview").text
    assert "backend/rollout" in preview
    programs.up()
    assert programs.outputs()["backend"]["hosts"]["h1"]["endpoint"] == "198.51.100.1:51825"
    programs.up("--expect-no-changes")
    machines = json.loads(programs.stack.environment["MACHINES"])
    machines["h1"]["publicIp"] = "127.0.0.1"
    programs.stack.environment["MACHINES"] = json.dumps(machines)
    programs.run(programs.makers, "up", "--yes", "--skip-preview")
    refused = programs.up(succeeds=False).text
    assert "mesh:hosts.h1.externalIps: a loopback address cannot be an endpoint" in refused
    assert "Traceback" not in refused


_NAMED = (
    '"externalIps": [machine(name)["publicIp"]]',
    '"externalName": machine(name)["publicIp"].apply(lambda ip: f"ip-{ip.replace(chr(46), chr(45))}.example.org")',
)


def test_machines_may_have_names_that_are_not_known_yet(make_stack: Maker, environment: Path) -> None:
    """As a cloud gives them to its machines."""
    programs = Programs(make_stack(2), environment, _NAMED)
    programs.run(programs.network, "preview")
    programs.up()
    assert programs.outputs()["backend"]["hosts"]["h1"]["endpoint"] == "ip-198-51-100-1.example.org:51825"
    programs.up("--expect-no-changes")


_OF_BOTH_VERSIONS = (
    '"externalIps": [machine(name)["publicIp"]]',
    '"externalIps": (lambda ip: [ip, sixth(ip)] if name == "h1" else [sixth(ip)])(machine(name)["publicIp"])',
)
_SIXTH = """

def sixth(ip):
    return ip.apply(lambda ip: "2001:db8::" + ip.rpartition(".")[2])

"""


def test_addresses_that_come_later_are_chosen_and_compared_like_those_of_a_stack_file(
    make_stack: Maker, environment: Path
) -> None:
    """A peer with IPv6 only gets the endpoint that it can reach, and one address is not that of two hosts."""
    programs = Programs(make_stack(2), environment, _OF_BOTH_VERSIONS)
    program = programs.network / "__main__.py"
    program.write_text(program.read_text().replace("\nimport pulumi\n", f"\nimport pulumi\n{_SIXTH}", 1))
    programs.up()
    [h1, h2] = programs.stack.hosts.by_name.values()
    kernels = [host.interfaces["backend"].kernel for host in (h1, h2)]
    assert [next(iter(kernel["peers"].values()))[2] for kernel in kernels if kernel] == [
        "[2001:db8::2]:51825",
        "[2001:db8::1]:51825",
    ]
    programs.up("--expect-no-changes")
    machines = json.loads(programs.stack.environment["MACHINES"])
    machines["h1"]["publicIp"] = machines["h2"]["publicIp"]
    programs.stack.environment["MACHINES"] = json.dumps(machines)
    programs.run(programs.makers, "up", "--yes", "--skip-preview")
    for verb in (("preview",), ("up", "--yes", "--skip-preview")):
        refused = programs.run(programs.network, *verb, succeeds=False).text
        assert "mesh:hosts.h2.externalIps: 2001:db8::2 is an address of host 'h1' too" in refused
        assert "Traceback" not in refused


_FAULTY = ('"port": 51825', '"port": 0, "mtu": 1')


def test_every_fault_of_a_description_is_told_before_anything_is_made(make_stack: Maker, environment: Path) -> None:
    """As for a stack file, and without a stack trace."""
    programs = Programs(make_stack(1), environment, _FAULTY)
    refused = programs.run(programs.network, "preview", succeeds=False).text
    assert "mesh:interfaces.backend.port: not usable; give a whole number from 1 to 65535" in refused
    assert "mesh:interfaces.backend.mtu: not usable" in refused
    assert "Traceback" not in refused
