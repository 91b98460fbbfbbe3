"""What the person at the terminal sees: steps that move while they last, or plain lines."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_ERASE_LINE = "\r\x1b[K"


class Terminal:
    """
    Prints a story step by step.

    :param stream: where to
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._moves = stream.isatty()
        self._fancy = _can_show("✓✗⠋", stream)

    def say(self, text: str = "") -> None:
        """
        Print lines as they are.

        :param text: the lines
        """
        self._stream.write(text + "\n")
        self._stream.flush()

    def quote(self, text: str) -> None:
        """
        Print lines that somebody else has written, set off from our own.

        :param text: the lines
        """
        bar = "│" if self._fancy else "|"
        for line in text.splitlines():
            for part in self._fitting(line):
                self.say(f"    {bar} {part}".rstrip())

    def _fitting(self, line: str) -> list[str]:
        if not self._moves:
            return [line]
        width = max(20, shutil.get_terminal_size().columns - 7)
        return textwrap.wrap(line, width, subsequent_indent="  ", replace_whitespace=False) or [""]

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """
        Show one step for as long as it lasts, and then what it took.

        :param title: what is being done
        """
        done, failed = ("✓", "✗") if self._fancy else ("+", "x")
        step = Step(title)
        if not self._moves:
            self.say(f"  {title} ...")
        try:
            with _Spinner(self._stream, step, "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if self._fancy else "|/-\\", moves=self._moves):
                yield step
        except BaseException:
            self.say(f"{failed} {title}: not done, after {step.seconds:.1f} s")
            raise
        outcome = f": {step.outcome}" if step.outcome else ""
        self.say(f"{done} {title}{outcome} ({step.seconds:.1f} s)")


class Step:
    """
    One step of the story.

    :param title: what is being done
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.doing = ""
        self.outcome = ""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self._began

    def note(self, doing: str) -> None:
        """
        Say what the step is at now.

        :param doing: the part of it
        """
        self.doing = doing

    def __str__(self) -> str:
        return f"{self.title}{': ' if self.doing else ''}{self.doing} ({self.seconds:.0f} s)"


class _Spinner:
    """Redraws a step until it has ended, so that a long one does not look dead."""

    def __init__(self, stream: TextIO, step: Step, frames: str, *, moves: bool) -> None:
        self._stream = stream
        self._step = step
        self._frames = itertools.cycle(frames)
        self._moves = moves
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def __enter__(self) -> Self:
        if self._moves:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._moves:
            self._thread.join()
            self._stream.write(_ERASE_LINE)

    def _spin(self) -> None:
        while not self._ended.wait(0.1):
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(_ERASE_LINE + f"{next(self._frames)} {self._step}"[:width])
            self._stream.flush()


def _can_show(characters: str, stream: TextIO) -> bool:
    try:
        characters.encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
