"""Let a host repair nothing by itself for a while, so that a test can see what is faulty and how long it stays so."""

from tests.lab.hosts import Host

__all__ = ["nothing_is_repaired", "repairs_again"]

_FOLDER = "/run/systemd/system/mesh-keep@.timer.d"


def nothing_is_repaired(host: Host) -> None:
    """Let the timers that repair come in a day, until the next boot of a host with systemd; they run all the same."""
    host.run(
        f"mkdir -p {_FOLDER}; printf '[Timer]\\nOnActiveSec=\\nOnActiveSec=1d\\n' >{_FOLDER}/later.conf; "
        "systemctl daemon-reload; for timer in $(systemctl list-units --plain --no-legend 'mesh-keep@*.timer' | "
        "cut -d ' ' -f 1); do systemctl restart $timer; done"
    )


def repairs_again(host: Host) -> None:
    """End that."""
    host.run(
        f"rm -rf {_FOLDER}; systemctl daemon-reload; for timer in $(systemctl list-units --plain --no-legend "
        "'mesh-keep@*.timer' | cut -d ' ' -f 1); do systemctl restart $timer; done"
    )
