"""The host's firewall opens for exactly our port, and is afterwards what it was: real nft and iptables."""

import pytest

from tests.host_program import HostProgram

# Chains that end in a drop in each of the ways that admins write it, and three that do not.
RULESET = """
table inet filter {
    set known { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }
    chain last_word { tcp dport 22 accept; log prefix "drop it" drop comment "the end # handle"; }
    chain by_policy { type filter hook input priority filter; policy drop; iifname "lo" accept; }
    chain by_reject { type filter hook input priority 10; ct state established accept; counter log prefix "x" reject; }
    chain by_jump { type filter hook input priority 20; goto last_word; }
    chain some_only { type filter hook input priority 30; ip saddr @known drop; }
    chain output { type filter hook output priority filter; policy drop; }
}
table ip old {
    chain four { type filter hook input priority filter; policy drop; }
}
table ip6 old {
    chain six { type filter hook input priority filter; policy drop; }
}
table inet firewalld {
    chain theirs { type filter hook input priority filter; policy drop; }
}
"""
SHOW = "nft -s list ruleset"


def loaded(ruleset: str = RULESET) -> str:
    """Return shell text that loads a ruleset."""
    return f"nft -f - <<'RULES'\n{ruleset}\nRULES\n"


def chains(listing: str) -> dict[str, list[str]]:
    """Return the rules of each chain of a listing by `family table chain`."""
    found: dict[str, list[str]] = {}
    table = chain = ""
    for line in map(str.strip, listing.splitlines()):
        if line.startswith("table "):
            table = " ".join(line.split()[1:3])
        elif line.startswith("chain "):
            chain = f"{table} {line.split()[1]}"
            found[chain] = []
        elif line == "}":
            chain = ""
        elif chain and not line.startswith("type filter hook"):
            found[chain].append(line)
    return found


def test_each_input_chain_that_drops_lets_the_port_and_echo_in(host: HostProgram) -> None:
    """By policy, by a last reject, by a jump: all are opened, and chains that do not drop are left alone."""
    host.real("nft")
    opened = chains(host.run(f"{loaded()}firewall_open 51825; {SHOW}").stdout)
    port = 'udp dport 51825 accept comment "mesh testwg"'
    echo = 'iifname "testwg" icmpv6 type echo-request accept comment "mesh testwg"'
    for chain in ("inet filter by_policy", "inet filter by_reject", "inet filter by_jump", "ip6 old six"):
        assert sorted(opened[chain][:2]) == sorted([port, echo]), chain
    assert opened["ip old four"] == [port]
    for chain in ("inet filter some_only", "inet filter output", "inet firewalld theirs", "inet filter last_word"):
        assert not [rule for rule in opened[chain] if "mesh" in rule], chain


def test_opening_twice_is_opening_once(host: HostProgram) -> None:
    """A second time changes no rule and no handle."""
    host.real("nft")
    script = f"{loaded()}firewall_open 51825; nft -a list ruleset; echo ====; firewall_open 51825; nft -a list ruleset"
    first, second = host.run(script).stdout.split("====\n")
    assert first == second


def test_after_closing_the_rules_are_what_they_were(host: HostProgram) -> None:
    """The listing is identical, and no record is left."""
    host.real("nft")
    script = f"{loaded()}{SHOW}; echo ====; firewall_open 51825; firewall_open 51826; firewall_close_all; {SHOW}"
    before, after = host.run(script).stdout.split("====\n")
    assert before == after
    assert not (host.home / "firewall").exists()


def test_a_change_of_port_keeps_echo_open(host: HostProgram) -> None:
    """The new port opens first; closing the old one takes nothing but the old one."""
    host.real("nft")
    script = f"{loaded()}firewall_open 51825; firewall_open 51826; firewall_close 51825; {SHOW}; firewall_describe >&2"
    ended = host.run(script)
    assert "51825" not in ended.stdout
    assert "udp dport 51826" in ended.stdout
    assert "echo-request" in ended.stdout
    assert ended.stderr.split() == ["51826"]


def test_a_rule_of_the_admin_for_the_same_port_stays(host: HostProgram) -> None:
    """Only rules with our mark are removed, and the mark of another interface is not ours."""
    host.real("nft")
    theirs = """
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        udp dport 51825 accept
        udp dport 51825 accept comment "mesh testwg2"
    }
}"""
    before, after = host.run(
        f"{loaded(theirs)}{SHOW}; echo ====; firewall_open 51825; firewall_close 51825; {SHOW}"
    ).stdout.split("====\n")
    assert before == after


def test_one_interface_leaves_the_other_open(host: HostProgram) -> None:
    """Two meshes on a host have rules of their own."""
    host.real("nft")
    script = (
        f"{loaded()}firewall_open 51825; interface=other home=$base/other; mkdir $home; firewall_open 51830; "
        f"interface=testwg home=$base/testwg; firewall_close_all; {SHOW}"
    )
    listing = host.run(script).stdout
    assert '"mesh testwg"' not in listing
    assert 'udp dport 51830 accept comment "mesh other"' in listing
    assert 'iifname "other" icmpv6' in listing


def test_the_boot_step_opens_again_what_a_reboot_closed(host: HostProgram) -> None:
    """What the record says is applied to rules that were loaded again; without it nothing is opened."""
    host.real("nft")
    again = f"nft flush ruleset; {loaded()}"
    script = (
        f"{loaded()}firewall_open 51825; {again}firewall_describe; echo ====; firewall_apply; firewall_describe; {SHOW}"
    )
    closed, opened = host.run(script).stdout.split("====\n")
    assert closed == ""
    assert opened.startswith("51825\n")
    assert opened.count('udp dport 51825 accept comment "mesh testwg"') == 5


def test_without_a_firewall_a_port_is_open_by_itself(host: HostProgram) -> None:
    """No firewall command is needed, and the record still says which port is ours."""
    ended = host.run(
        "firewall_open 51825; firewall_describe; active_firewalls; firewall_close 51825; firewall_describe"
    )
    assert ended.stdout.splitlines() == ["51825", "none"]


def test_what_filters_is_named(host: HostProgram) -> None:
    """A ruleset that drops input counts as nftables; an empty one does not."""
    host.real("nft")
    assert host.run(f"active_firewalls; {loaded()}active_firewalls").stdout.splitlines() == ["none", "nftables"]


@pytest.mark.parametrize("kind", ["nft", "legacy"])
@pytest.mark.parametrize(
    "how", ["-P INPUT DROP", "-A INPUT -j REJECT", "-N end; %s -A end -j DROP; %s -A INPUT -j end"]
)
def test_iptables_opens_and_closes_again(host: HostProgram, kind: str, how: str) -> None:
    """Both families, both kinds of iptables, all ways to drop; the listing is as before in the end."""
    names = [f"iptables-{kind}", f"ip6tables-{kind}"]
    host.real("nft", *names)
    closed = "; ".join(f"{name} {how.replace('%s', name)}" for name in names)
    show = "; ".join(f"{name} -S" for name in names)
    ended = host.run(
        f"{closed}; {show}; echo ====; firewall_open 51825; firewall_open 51825; {show}; firewall_describe; "
        f"active_firewalls; echo ====; firewall_close 51825; {show}"
    )
    before, opened, after = ended.stdout.split("====\n")
    mark = '-m comment --comment "mesh testwg" -j ACCEPT'
    assert opened.count(f"-A INPUT -p udp -m udp --dport 51825 {mark}") == 2
    assert opened.count(f"-A INPUT -i testwg -p ipv6-icmp -m icmp6 --icmpv6-type 128 {mark}") == 1
    assert opened.splitlines()[-2:] == ["51825", "iptables"]
    assert before == after


UFW = """
rules={directory}/ufw-rules
case "$*" in
'show added') echo 'Added user rules (see ufw status):'; cat $rules ;;
'allow '*) echo "ufw allow $2 comment '$4'" >>$rules ;;
'delete allow '*) grep -v "^ufw allow $3" $rules >$rules.new; mv $rules.new $rules ;;
esac
"""


def with_ufw(host: HostProgram, rules: str = "") -> None:
    """Make ufw the host's firewall."""
    host.etc("ufw/ufw.conf", "ENABLED=yes\n")
    (host.directory / "ufw-rules").write_text(rules)
    host.stub("ufw", UFW.format(directory=host.directory))


def changes(calls: list[str]) -> list[str]:
    """Return the calls that change something."""
    return [call for call in calls if not any(word in call for word in ("show", "list", "get-", "--state"))]


def test_ufw_is_asked_by_its_own_command(host: HostProgram) -> None:
    """It opens once with our mark, and deletes that rule again."""
    with_ufw(host)
    host.run("firewall_open 51825; firewall_open 51825; firewall_close 51825")
    assert changes(host.calls()) == ["ufw allow 51825/udp comment mesh testwg", "ufw delete allow 51825/udp"]


@pytest.mark.parametrize("rule", ["ufw allow 51825/udp", "ufw allow 51825/udp comment 'mesh testwg2'"])
def test_what_ufw_already_allows_stays_allowed(host: HostProgram, rule: str) -> None:
    """A rule of somebody else serves, and is left when we go."""
    with_ufw(host, f"{rule}\n")
    ended = host.run("firewall_open 51825; firewall_describe; firewall_close 51825")
    assert ended.stdout == "51825\n"
    assert changes(host.calls()) == []


def test_a_denial_of_the_admin_is_not_overwritten(host: HostProgram) -> None:
    """Ufw would turn the admin's rule into ours; the message says what to do instead."""
    with_ufw(host, "ufw deny 51825/udp\n")
    ended = host.run("firewall_open 51825", fails=True)
    assert "a rule of its own against 51825/udp; delete that rule or choose another port" in ended.stderr
    assert changes(host.calls()) == []


def test_a_rule_in_a_ufw_that_was_switched_off_is_removed(host: HostProgram) -> None:
    """Else it would open the port when ufw is switched on again."""
    with_ufw(host)
    host.run("firewall_open 51825; echo ENABLED=no >/etc/ufw/ufw.conf; firewall_close 51825")
    assert changes(host.calls())[-1] == "ufw delete allow 51825/udp"
