"""The folder of one Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_lwa.demo.folder import Folder, FolderInUseError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the folder is to be."""
    return tmp_path / "run"


def test_is_made_and_kept_after_use(path: Path) -> None:
    """A new folder is made; what was written to it is still there after the release."""
    folder = Folder(path)
    folder.claim(patience=0)
    (path / "log").write_text("kept")
    folder.release()
    folder.release()

    assert (path / "log").read_text() == "kept"


def test_is_emptied_for_the_next(path: Path) -> None:
    """What the one before has left is gone, folders too; nothing was interrupted."""
    first, second = Folder(path), Folder(path)
    first.claim(patience=0)
    (path / "logs").mkdir()
    (path / "logs" / "old").write_text("old")
    (path / "database").write_text("old")
    first.release()

    second.claim(patience=0)
    left = [entry.name for entry in path.iterdir()]
    second.release()

    assert left == ["in-use.lock"]
    assert not second.interrupted


def test_is_refused_while_in_use(path: Path) -> None:
    """Two cannot have it; the second is told who has it, and may try again later."""
    first, second = Folder(path), Folder(path)
    first.claim(patience=0)
    first.note_owner("process 42")

    with pytest.raises(FolderInUseError, match=r"in use \(process 42\)\. End what runs there"):
        second.claim(patience=0)

    first.release()
    second.claim(patience=0)
    second.release()


def test_is_never_taken_from_a_stranger(path: Path) -> None:
    """A folder with other files is refused, and they stay."""
    path.mkdir()
    (path / "thesis").write_text("years of work")

    with pytest.raises(FolderInUseError, match="files of somebody else"):
        Folder(path).claim(patience=0)

    assert [entry.name for entry in path.iterdir()] == ["thesis"]


def test_tells_an_interrupted_one(path: Path) -> None:
    """One that never gave it up, as when it was killed, is known to the next."""
    path.mkdir()
    (path / "in-use.lock").write_text("process 42")
    folder = Folder(path)

    folder.claim(patience=0)
    folder.release()

    assert folder.interrupted


def test_knows_whether_it_was_used(path: Path) -> None:
    """Before the first claim it is not used, afterwards it is."""
    folder = Folder(path)
    before = folder.used
    folder.claim(patience=0)
    folder.release()

    assert (before, folder.used) == (False, True)
