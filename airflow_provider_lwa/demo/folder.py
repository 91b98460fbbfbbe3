"""The folder of one Airflow: in one launcher's hands at a time, and never taken from a stranger."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LOCK = "in-use.lock"


class FolderInUseError(Exception):
    """The folder belongs to an Airflow that runs, or to something that is not ours to delete."""


class Folder:
    """
    A folder that is emptied before use if an Airflow of this kind has left it, and refused otherwise.

    :param path: where it is; made when it is claimed
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.interrupted = False
        self._lock: int | None = None

    @property
    def used(self) -> bool:
        """Whether an Airflow of this kind has been at work in it."""
        return (self.path / _LOCK).exists()

    @property
    def lock(self) -> int:
        """The open file that stands for the possession. Whoever inherits it holds the folder too."""
        assert self._lock is not None, "because it is asked for between claim and release"
        return self._lock

    def claim(self, *, patience: float) -> None:
        """
        Take possession. ``interrupted`` then says whether the one before had no chance to clean up.

        :param patience: seconds to wait for one that is just ending
        :raises FolderInUseError: when it is not free
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if any(self.path.iterdir()) and not self.used:
            raise FolderInUseError(
                f"{self.path} holds files of somebody else. Choose an empty or a new folder."
            )
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        self._wait(time.monotonic() + patience)
        self.interrupted = bool(self._owner())
        for leftover in self.path.iterdir():
            if leftover.name != _LOCK:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def note_owner(self, owner: str) -> None:
        """
        Write down who has it, for those who find it taken.

        :param owner: in words
        """
        os.ftruncate(self.lock, 0)
        os.pwrite(self.lock, owner.encode(), 0)

    def release(self) -> None:
        """Give it up. Safe to call twice, and without a claim."""
        if self._lock is not None:
            self.note_owner("")
            self._give_up()

    def _wait(self, deadline: float) -> None:
        while not self._locked():
            if time.monotonic() > deadline:
                owner = self._owner()
                self._give_up()
                raise FolderInUseError(
                    f"{self.path} is in use ({owner}). End what runs there, or choose another folder."
                )
            time.sleep(0.2)

    def _locked(self) -> bool:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _owner(self) -> str:
        return os.pread(self.lock, 1000, 0).decode()

    def _give_up(self) -> None:
        os.close(self.lock)
        self._lock = None
