"""`mesh`, which is `python -m mesh`."""

import signal

from mesh.process import set_up_process

__all__ = ["run_mesh"]


def run_mesh() -> None:
    """Run the command that is given."""
    # While modules are read there is nothing to put right, and Python would print where it was.
    is_interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Keys pass through some commands, and one goes on as pulumi, which has them too. Before all imports, since some
    # libraries start processes in theirs.
    set_up_process()
    try:
        from mesh.cli.app import main  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "mesh").partition(".")[0] == "mesh":
            raise
        # As in a shell where nobody has made the environment of the checkout active.
        raise SystemExit(
            f"error: this Python lacks what mesh needs ({error.msg}); run make setup, and . .venv/bin/activate"
        ) from None

    if is_interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


if __name__ == "__main__":
    run_mesh()
