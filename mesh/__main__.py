"""`mesh`, which is `python -m mesh`."""

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command that is given."""
    # While modules are read there is nothing to put right, and Python would print where it was.
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mesh.cli.app import run_command_line  # noqa: PLC0415

    signal.signal(signal.SIGINT, before)
    run_command_line()


if __name__ == "__main__":
    main()
