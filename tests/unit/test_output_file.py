"""Files that a command writes because a user asked for them: what is there already, and what cannot be written."""

import errno
import os
import threading
from pathlib import Path

import pytest

from mesh.cli import output_file
from mesh.cli.output_file import check_output, replace_file, write_private
from mesh.errors import MeshError


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    """As a device would: root must not make a file of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    check_output(pipe)
    replace_file(pipe, "said", 0o600)
    reader.join(10)
    assert heard == ["said"]
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_link_goes_on_leading_to_its_file(tmp_path: Path) -> None:
    """Which is replaced, with the mode that it had if none is asked for."""
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere/real", tmp_path / "link"
    real.write_text("before")
    real.chmod(0o640)
    link.symlink_to(real)
    replace_file(link, "after")
    assert link.is_symlink()
    assert real.read_text() == "after"
    assert real.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path / "elsewhere") == ["real"]


@pytest.mark.parametrize("name", ["", ".", "folder"])
def test_a_folder_is_named_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nobody is advised to delete it."""
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for write in (check_output, lambda path: replace_file(path, "x"), lambda path: write_private(path, "x")):
        with pytest.raises(MeshError, match="is a folder; name a file in it"):
            write(Path(name))


def test_a_file_that_is_read_only_is_left_so(tmp_path: Path) -> None:
    """Also by root, who could write it."""
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o444)
    for write in (check_output, lambda path: replace_file(path, "x")):
        with pytest.raises(MeshError, match=r"is read-only; run chmod u\+w on it"):
            write(path)
    assert path.read_text() == "before"


@pytest.mark.parametrize("name", ["missing/file", "x" * 300])
def test_what_cannot_be_written_is_told_before_it_is_made(tmp_path: Path, name: str) -> None:
    """A look at all hosts takes its time."""
    with pytest.raises(MeshError, match="choose another path"):
        check_output(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_check_leaves_nothing(tmp_path: Path) -> None:
    """And a file that is to be new must not be there."""
    check_output(tmp_path / "file", is_new=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(MeshError, match="is there already; delete it"):
        check_output(tmp_path / "link", is_new=True)


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing beside it."""
    path = tmp_path / "file"
    path.write_text("before")

    def fill(place: Path, content: bytes, mode: int = 0o600) -> None:
        del mode
        if content:
            place.write_bytes(content[:1])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
        place.touch()

    monkeypatch.setattr(output_file, "_make", fill)
    with pytest.raises(MeshError, match="file: No space left on device; choose another path"):
        replace_file(path, "after")
    assert path.read_text() == "before"
    with pytest.raises(MeshError, match="secret: No space left on device; choose another path"):
        write_private(tmp_path / "secret", "after")
    assert os.listdir(tmp_path) == ["file"]
