"""What a provider knows of its process: whether its engine is gone, how errors are shown, what is imported ahead."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.rollout.provider_process import engine_is_alive
from tests.conftest import HOST_KEY


def test_an_engine_lives_as_long_as_it_listens() -> None:
    """At the address that is the provider's last argument."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = ["provider", f"127.0.0.1:{server.getsockname()[1]}"]
        assert engine_is_alive(arguments)
    assert not engine_is_alive(arguments)


def test_where_no_engine_is_named_none_is_missed() -> None:
    """As under the test monitor."""
    assert engine_is_alive(["pytest", "-x"])


def run(*lines: str) -> str:
    """Return what a process of its own prints, since what is asked here holds for a whole process."""
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout


SHOWN_BY_THE_ENGINE = (
    "import traceback",
    "from mesh.errors import MeshError",
    "from mesh.remote.concurrency import run",
    "from mesh.rollout.provider_process import errors_are_one_line",
    "def fail(error): raise error",
    "async def fail_on_hosts(): raise MeshError('testwg: not verified')",
    "def fail_while_handling():",
    "    try: fail(OSError('of the disk'))",
    "    except OSError: fail(MeshError('testwg: not verified'))",
    "def provider(work):",
    "    with errors_are_one_line():",
    "        work()",
    "def show(work):",
    "    try:",
    "        provider(work)",
    "    except Exception:",
    "        print(traceback.format_exc())",
)


@pytest.mark.parametrize(
    "work",
    ["lambda: fail(MeshError('testwg: not verified'))", "lambda: run(fail_on_hosts)", "fail_while_handling"],
)
def test_an_expected_failure_of_a_provider_is_shown_in_one_line(work: str) -> None:
    """The engine prints what `format_exc` returns, which begins with what was being handled."""
    said = run(*SHOWN_BY_THE_ENGINE, f"show({work})").split("\n")
    assert [line for line in said if line] == ["mesh.errors.MeshError: testwg: not verified"]


def test_a_bug_keeps_its_traceback() -> None:
    """Without it nobody could mend it."""
    assert "in provider" in run(*SHOWN_BY_THE_ENGINE, "show(lambda: fail(ValueError('a bug')))")


def test_what_reaches_hosts_is_imported_aside_and_only_when_asked_for() -> None:
    """A preview without a rollout never pays for it."""
    here = "'asyncssh' in sys.modules, 'mesh.rollout.apply' in sys.modules"
    said = run(
        "import sys, mesh.providers",
        "from mesh.rollout.provider_process import import_ahead",
        f"print({here})",
        "import_ahead().join()",
        f"print({here})",
    )
    assert said.split("\n")[:2] == ["False False", "True True"]


def test_the_providers_read_states_and_reach_hosts_without_the_models_of_the_stack_file() -> None:
    """Those take a quarter of a second of processor time to make, in a process that reads no stack file."""
    said = run(
        "import re, sys",
        "from pathlib import Path",
        "import mesh.providers",
        "lazy = re.findall(r'^ +from (mesh[.\\w]*) import', Path(mesh.providers.__file__).read_text(), re.MULTILINE)",
        "for name in {*lazy, 'mesh.rollout.apply'}: __import__(name)",
        "print(len(lazy), 'pydantic' in sys.modules)",
    )
    count, imported = said.split()
    assert int(count) > 10
    assert imported == "False"


def refresh(of: str, *lines: str, **config: str) -> str:
    """Return what the engine shows of a refresh by a provider, told these values of the stack file."""
    values = {f"mesh:{name}": value for name, value in config.items()}
    return run(
        "import os, traceback",
        "from pulumi.dynamic import Config, ConfigureRequest",
        "from mesh import providers",
        f"provider = providers.{of}()",
        f"provider.configure(ConfigureRequest(Config({values!r}, 'mesh')))",
        *lines,
    )


SURVEYED = (
    "try:",
    "    print(provider.read('testwg', {'interface': 'testwg', 'installations': {'bernard': 2.0}}).outs)",
    "except Exception:",
    "    print(traceback.format_exc())",
)


def test_a_refresh_without_a_key_to_log_in_with_says_so_in_one_line() -> None:
    """It comes before the program, which would have said it."""
    host = {"ssh": {"address": "192.0.2.1", "hostKey": HOST_KEY}, "externalIps": ["192.0.2.1"]}
    lines = ("os.environ['MESH_SSH_KEY_FILE'] = '/no/key'", *SURVEYED)
    hosts, interfaces = json.dumps({"bernard": host}), json.dumps({"testwg": {"hosts": ["bernard"]}})
    said = refresh("SurveyProvider", *lines, hosts=hosts, interfaces=interfaces).split("\n")
    assert [line for line in said if line] == [
        "mesh.errors.MeshError: MESH_SSH_KEY_FILE: '/no/key' is not a file; name an SSH private key, or use ssh-agent"
    ]


@pytest.mark.parametrize("value", ["no JSON", "5", "null", "[]"])
def test_a_refresh_leaves_faults_of_the_stack_file_to_the_program(value: str) -> None:
    """It names them all, and their place."""
    assert "{'bernard': 2}" in refresh("SurveyProvider", *SURVEYED, hosts=value, interfaces=value)
    asked = "print(provider._is_described('testwg'))"
    assert refresh("RolloutProvider", asked, interfaces=value) == "False\n"
