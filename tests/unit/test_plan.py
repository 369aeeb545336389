"""What a change of the stack file would do to the meshes that the state records, without a host or an engine."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.plan import PlannedChange, plan_changes
from mesh.cli.plan_text import as_markdown, as_text
from mesh.cli.pulumi_cli import RecordedMesh
from mesh.cli.stack_file import StackFile
from mesh.config.models import Configuration
from mesh.config.reader import read_configuration
from mesh.plan.roster_builder import build_roster
from mesh.plan.topology import plan_meshes
from mesh.stored.forms import RecordedKey
from tests.strategies import HOST_KEY

HOSTS = ["h1", "h2", "h3"]
MADE = datetime.now(UTC) - timedelta(days=10)
KEYS = {name: f"{name}{'A' * (43 - len(name))}=" for name in (*HOSTS, "h4", "phone")}


def configuration(hosts: list[str], named: dict[str, Any] | None = None, **interface: Any) -> Configuration:
    """Return a stack file of one mesh, of hosts with external addresses but h3; none of no hosts."""
    machines = {
        host: {
            "ssh": {"address": f"{host}.example.org", "hostKey": HOST_KEY},
            "externalIps": [] if host == "h3" else [f"203.0.113.{number}"],
            **(named or {}).get(host, {}),
        }
        for number, host in enumerate(hosts, 1)
    }
    return read_configuration(machines or {"h1": {"ssh": {"address": "h1.example.org", "hostKey": HOST_KEY}}},
                              {"testwg": {"hosts": hosts, **interface}} if hosts else {})  # fmt: skip


def recorded(file: Configuration, **changes: list[str]) -> dict[str, RecordedMesh]:
    """Return what the state records when this file was rolled out ten days ago."""
    plan = plan_meshes(file)["testwg"]
    hosts = {member.name: file.hosts[member.name] for member in plan.members}
    logins = {name: {"system": host.system or "", "ssh": host.ssh.connection()} for name, host in hosts.items()}
    roster = build_roster(plan, KEYS, logins)
    rollout: Any = {"roster": roster, "digest": "d", "systems": {}, "pending": [], "notWiped": [], **changes}
    made = MADE.isoformat(timespec="seconds")
    states: dict[str, RecordedKey] = {
        owner.name: {"createdAt": made, "rotation": owner.rotation, "publicKey": KEYS[owner.name]}
        for owner in plan.participants
    }
    states[""] = {"createdAt": made, "rotation": plan.rotation, "knownTo": [each.name for each in plan.participants]}
    return {"testwg": RecordedMesh(frozenset(hosts), frozenset(rollout["notWiped"]), rollout, key_states=states)}


def planned(before: Configuration, after: Configuration) -> PlannedChange:
    """Return what becomes of the mesh."""
    (change,) = plan_changes(after, recorded(before))
    return change


def reach(change: PlannedChange) -> tuple[int, int]:
    """Return how many hosts and pairs run otherwise."""
    return len(change.impact.hosts), len(change.impact.pairs)


WELL = configuration(HOSTS)


def test_a_stack_file_that_was_rolled_out_changes_nothing() -> None:
    """Also where an earlier version of the engine wrote numbers as fractions."""
    before = recorded(WELL)
    before["testwg"].rollout["roster"]["port"] = 51824.0  # type: ignore[typeddict-item]
    (change,) = plan_changes(WELL, before)
    assert not change.changes
    assert (change.lines, change.expiries) == ((), ())
    assert as_text("test", [change]) == "testwg: no change"
    assert "### `testwg`: no change\n" in as_markdown("test", [change])


def test_a_host_that_joins_is_gained_by_all_and_costs_nothing() -> None:
    """Those that are there keep all that they have."""
    change = planned(WELL, configuration([*HOSTS, "h4"]))
    assert change.lines[0].startswith("+ h4 joins: fd00:")
    assert reach(change) == (4, 3)
    assert (change.impact.of_hosts, change.impact.of_pairs) == (4, 6)
    assert change.impact.gains == dict.fromkeys(HOSTS, ("h4",))
    assert change.losses == ("0 packets between hosts that stay",)


def test_a_host_that_leaves_takes_its_pairs_and_the_preshared_key() -> None:
    """All pairs get another preshared key, which loses nothing."""
    change = planned(WELL, configuration(["h1", "h2"]))
    assert any("preshared key is regenerated: h3 knew it" in line for line in change.lines)
    assert reach(change) == (3, 3)
    assert change.impact.losses == {"h1": ("h3",), "h2": ("h3",)}
    assert change.losses == ("everything between h3 and the others, for good",)


@pytest.mark.parametrize(
    ("after", "told", "touched", "loss"),
    [
        ({"port": 51900}, "listen port: 51824 becomes 51900", (3, 3), "the listen port moves: packets of about a"),
        ({"mtu": 1300}, "MTU: 1420 becomes 1300", (3, 0), "0 packets"),
        ({"rotation": 2}, "~ every host gets a new key", (3, 3), "0 packets"),
        ({"members": {"h1": {"rotation": 2}}}, "~ h1 key changes: rotation of h1 1 becomes 2", (3, 2), "0 packets"),
        ({"members": {"h1": {"address": "fd00:9::1/64"}}}, "~ h1 address", (3, 2), "what goes to the earlier"),
        ({"named": {"h1": {"externalIps": ["203.0.113.9"]}}}, "~ h1 endpoint", (3, 2), "endpoint of h1: none, but"),
        ({"presharedKeys": "pairwise"}, "~ preshared key is regenerated for another use", (3, 3), "0 packets"),
        ({"deadline": 90}, "~ only SSH or rollout settings change", (0, 0), "0 packets"),
        (
            {"peering": [{"hub": ["h1"], "spokes": ["h2", "h3"]}]},
            "- h2 and h3 are no longer peers", (2, 1), "everything between those of h2, h3 that are no longer peers",
        ),
    ],
)  # fmt: skip
def test_a_change_is_told_with_what_it_reaches_and_what_it_costs(
    after: dict[str, Any], told: str, touched: tuple[int, int], loss: str
) -> None:
    """In hosts, in pairs, and in packets."""
    change = planned(WELL, configuration(HOSTS, **after))
    assert change.changes
    assert any(told in line for line in change.lines), change.lines
    assert reach(change) == touched
    assert change.losses[0].startswith(loss)
    assert len(change.losses) == 1


def test_a_renamed_host_keeps_its_tunnels() -> None:
    """It is no leaver and no new host."""
    change = planned(WELL, configuration(["h1", "h2", "h4"], {"h4": {"formerly": "h3", "externalIps": []}},
                                         members={"h4": {"address": "fd00:9::1/64"}}))  # fmt: skip
    assert change.lines[0] == "~ h4 was h3, and keeps its key"
    assert change.impact.gains == change.impact.losses == {}
    assert not any("regenerated" in line for line in change.lines)


def test_a_renamed_host_with_a_new_key_is_one_host() -> None:
    """As it reads in a preview."""
    change = planned(WELL, configuration(["h1", "h2", "h4"], {"h4": {"formerly": "h3", "externalIps": []}},
                                         rotation=2))  # fmt: skip
    assert change.lines[0] == "~ h4 was h3, and keeps its key"
    assert not any("leaves" in line or "joins" in line for line in change.lines)
    assert "~ every host gets a new key" in change.lines


@pytest.mark.parametrize("address", ["h2.example.org", "h9.example.org"])
def test_another_installation_or_machine_is_counted(address: str) -> None:
    """The rollout sets the host up, and its tunnels begin anew; its peers change nothing."""
    key = f"{HOST_KEY.split()[0]} {HOST_KEY.split()[1][:-4]}BBBB"
    change = planned(WELL, configuration(HOSTS, {"h2": {"ssh": {"address": address, "hostKey": key}}}))
    assert change.lines[0].startswith("~ h2 is another machine" if "h9" in address else "~ h2 has another SSH host key")
    assert reach(change) == (1, 2)
    assert change.losses == ("what goes over the tunnels of h2, which is another machine or installation",)


def test_a_renamed_hub_is_no_other_hub() -> None:
    """Also to a phone, and to whoever uses it as exit node or relay."""

    def named(hub: str, **more: Any) -> Configuration:
        hosts = [hub, "h2", "h3"]
        fixed = {hub: {"address": "fd00:9::1/64", "ipv4": "10.20.0.1"}}
        rest = {host: {"ipv4": f"10.20.0.{number}"} for number, host in enumerate(hosts[1:], 2)}
        peering = [{"hub": [hub], "spokes": ["all"]}]
        return configuration(
            hosts, more, members={**fixed, **rest}, peering=peering, relay=hub, exitNode=hub, ipv4="10.20.0.0/24",
            peers={"phone": {"ipv4": "10.20.0.9"}},
        )  # fmt: skip

    change = planned(named("h1"), named("h4", h4={"formerly": "h1"}))
    assert change.lines[0] == "~ h4 was h1, and keeps its key"
    assert (reach(change), change.losses) == ((0, 0), ("0 packets between hosts that stay",))


def test_all_keys_of_a_stack_are_rotated_by_its_file(tmp_path: Path) -> None:
    """The number stands beside the meshes."""
    path = tmp_path / "Pulumi.test.yaml"
    machine = f"{{ssh: {{address: h1.example.org, hostKey: {HOST_KEY}}}}}"
    path.write_text(f"config:\n  mesh:rotation: 2\n  mesh:hosts: {{h1: {machine}}}\n"
                    "  mesh:interfaces: {testwg: {hosts: [h1]}}\n")  # fmt: skip
    change = planned(configuration(["h1"]), StackFile(path).configuration())
    assert "~ h1 key changes: rotation of all interfaces 1 becomes 2" in change.lines


def test_a_mesh_that_comes_or_goes_is_told() -> None:
    """With all of its hosts."""
    (new,) = plan_changes(WELL, {})
    assert new.lines[0] == "+ a new mesh"
    assert new.losses == ("nothing runs yet that could lose a packet",)
    assert reach(new) == (3, 3)
    (gone,) = plan_changes(configuration([]), recorded(WELL))
    assert gone.lines == ("- it is removed from all its hosts",)
    assert gone.losses[0].startswith("everything")
    assert reach(gone) == (3, 3)


def test_what_earlier_runs_left_to_do_is_a_change() -> None:
    """A host that was left out, and one that is not wiped; but for one that is forgotten."""
    (change,) = plan_changes(WELL, recorded(WELL, pending=["h2"], notWiped=["h9"]))
    assert change.lines[0] == "~ h2 was left out of an earlier run and gets its change"
    assert change.lines[1].startswith("- h9 has left and is not wiped yet")
    assert change.changes
    (change,) = plan_changes(configuration(HOSTS, forgotten=["h9"]), recorded(WELL, notWiped=["h9"]))
    assert change.lines == ("- h9 is forgotten: runs no longer try to wipe it",)


def test_the_keys_that_expire_next_are_told() -> None:
    """One that expires soon is no change; one that has expired is."""
    soon = planned(WELL, configuration(HOSTS, maxKeyAge="20d"))
    assert not soon.changes
    assert soon.expiries == (((MADE + timedelta(days=20)).date().isoformat(), ("preshared key", *HOSTS)),)
    assert soon.lines[0].startswith("! preshared key expires on")
    due = planned(WELL, configuration(HOSTS, maxKeyAge="9d"))
    assert "~ every host gets a new key" in due.lines
    assert due.expiries == ()


def test_markdown_is_for_a_pull_request() -> None:
    """Coloured as a difference, with a table of who gains and loses."""
    after = configuration(["h1", "h2", "h4"], maxKeyAge="90d", port=51900)
    text = as_markdown("production", [planned(WELL, after)])
    assert text.startswith("## Mesh plan of `production`\n\n### `testwg`: changes 4 of 4 hosts and 5 of 5 pairs")
    (fenced,) = re.findall(r"```diff\n(.*?)```", text, flags=re.DOTALL)
    assert {line[:2] for line in fenced.splitlines()} == {"+ ", "- ", "! ", "  "}
    assert "| h1, h2 | gain h4, lose h3 |" in text
    assert "- **Expected loss:** the listen port moves" in text
    assert re.search(r"- \*\*Keys expire:\*\* \d{4}-\d\d-\d\d: h1, h2\n", text)
    told = as_text("production", [planned(WELL, after)])
    assert "  h1, h2: gain h4, lose h3\n" in told
    many = replace(planned(WELL, after), lines=tuple(f"+ route {number}" for number in range(300)))
    assert "+ route 199\n```\n\nand 100 more lines, which `python -m mesh plan` shows\n" in as_markdown("x", [many])
    assert as_text("production", []) == "production: no mesh, neither in the stack file nor in the state"


def test_a_site_of_any_name_leaves_markdown_and_lines_whole() -> None:
    """What a stack file of somebody else's pull request says is not read as Markdown of ours."""
    site = "a`b|<c>\n```\n# all is well\r\x1b[31m\u2028"
    own = {"site": site, "localIps": ["10.0.0.1"]}
    change = planned(configuration(HOSTS), configuration(HOSTS, {"h1": own}))
    markdown, text = as_markdown("x", [change]), as_text("x", [change])
    assert "! h1 site: none becomes a`b|<c>\\n```\\n# all is well\\r\\x1b[31m\\u2028\n" in markdown
    assert [line for line in markdown.splitlines() if line.startswith("```")] == ["```diff", "```"]
    assert all(line.isprintable() for line in (*markdown.split("\n"), *text.split("\n")))
