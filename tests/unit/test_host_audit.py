"""The host tells which of its files are not as they were confirmed, and changes none by looking."""

import pytest

from tests.host_program import HostProgram
from tests.unit.test_host_service import SNAPSHOT, WITH

# A host on which a configuration and a program were confirmed.
CONFIRMED = """
configuration=/etc/wireguard/testwg.conf
mkdir -p /etc/wireguard "$home/run"
echo '[Interface]' >$configuration
digest_of $configuration >"$home/run/configuration"
echo 'exit 0' >"$base/text"
name=program-$(digest_of "$base/text" | cut -c 1-16)
mv "$base/text" "$base/$name"
ln -sfn "$name" "$base/program"
"""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", ""),
        ("touch $configuration", ""),
        ("chmod 400 $configuration", ""),
        ("echo '# mine' >>$configuration", "differs edited /etc/wireguard/testwg.conf\n"),
        ("rm $configuration", "differs missing /etc/wireguard/testwg.conf\n"),
        ("chmod 640 $configuration", "differs readable /etc/wireguard/testwg.conf\n"),
        ("echo exit 1 >$base/program", "differs edited {base}/program\n"),
        ("set +f; rm $base/program-*; set -f", "differs missing {base}/program\n"),
        ("rm $base/program", "differs missing {base}/program\n"),
        ("echo '# mine' >>$configuration; rm $home/run/configuration", ""),
    ],
)
def test_each_file_that_is_not_as_it_was_confirmed_is_named(host: HostProgram, command: str, said: str) -> None:
    """Bytes and readers count, times do not; a host that an earlier version confirmed has nothing to compare."""
    ended = host.run(f"{CONFIRMED}\n{command}\naudit_files")
    assert ended.stdout == said.format(base=host.base)


@pytest.mark.parametrize("init", WITH)
def test_a_service_file_is_compared_with_what_was_installed(host: HostProgram, init: str) -> None:
    """Not with what this version would install, so a later one finds no drift."""
    WITH[init](host)
    file = {"systemd": "/etc/systemd/system/mesh-boot@.service", "openrc": "/etc/init.d/wg-quick.testwg"}[init]
    script = f"{SNAPSHOT}{CONFIRMED}service_install; audit_files; echo ====; echo '# mine' >>{file}; audit_files"
    first, second = host.run(script).stdout.split("====\n")
    assert first == ""
    assert second == f"differs edited {file}\n"


def test_a_masked_tunnel_is_not_enabled_until_it_is_installed_again(host: HostProgram) -> None:
    """`systemctl mask` leaves the links that enable it."""
    WITH["systemd"](host)
    mask = "ln -s /dev/null /etc/systemd/system/wg-quick@testwg.service"
    ask = "service_is_enabled && echo enabled || echo not"
    host.stub("systemctl")
    ended = host.run(f"{SNAPSHOT}service_install; {ask}; {mask}; {ask}; service_install; {ask}")
    assert ended.stdout.split() == ["enabled", "not", "enabled"]
    assert "systemctl daemon-reload" in host.calls()
