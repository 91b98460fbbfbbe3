"""What the person at the terminal sees."""

from __future__ import annotations

import io
import re
import time

import pytest

from airflow_provider_lwa.demo.terminal import Terminal


class Screen(io.TextIOWrapper):
    """A stream that can be read back, on a terminal or not, in any encoding."""

    def __init__(self, *, moves: bool, encoding: str = "utf-8") -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, newline="\n")
        self._moves = moves

    def isatty(self) -> bool:
        """Say whether it is a terminal."""
        return self._moves

    def text(self) -> str:
        """Show all that was written."""
        self.flush()
        return self.bytes.getvalue().decode(self.encoding)


def test_plain_lines_where_nothing_moves() -> None:
    """In a pipe or a log each step is announced, and its end says what came of it and what it took."""
    screen = Screen(moves=False)

    with Terminal(screen).step("Pulling") as step:
        step.note("waiting")
        step.outcome = "12 rows"

    assert re.fullmatch(r"  Pulling \.\.\.\n✓ Pulling: 12 rows \(0\.\d s\)\n", screen.text())


def test_a_long_step_moves_on_a_terminal() -> None:
    """On a terminal the line is redrawn with what the step is at, and then replaced by its end."""
    screen = Screen(moves=True)

    with Terminal(screen).step("Pulling") as step:
        step.note("waiting")
        time.sleep(0.35)

    drawn = screen.text().split("\r\x1b[K")
    assert len([line for line in drawn if line.endswith("Pulling: waiting (0 s)")]) >= 2
    assert drawn[-1].startswith("✓ Pulling (0.")


def test_a_moving_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than the terminal is cut, because a wrapped one cannot be redrawn."""
    monkeypatch.setenv("COLUMNS", "30")
    screen = Screen(moves=True)

    with Terminal(screen).step("A title that is longer than the terminal is wide"):
        time.sleep(0.15)

    _, frame, *_ = screen.text().split("\r\x1b[K")
    assert len(frame) == 29


def test_a_step_that_fails_says_so() -> None:
    """An error passes through, and the step is not shown as done."""
    screen = Screen(moves=False)

    with pytest.raises(ValueError, match="no"), Terminal(screen).step("Pulling"):
        raise ValueError("no")

    assert screen.text().splitlines()[-1].startswith("✗ Pulling: not done, after 0.")


def test_ascii_where_nothing_else_can_be_shown() -> None:
    """A terminal without Unicode gets ASCII marks and no error."""
    screen = Screen(moves=True, encoding="ascii")
    terminal = Terminal(screen)

    with terminal.step("Pulling"):
        time.sleep(0.15)
    terminal.quote("two\nlines")

    assert "+ Pulling (0." in screen.text()
    assert screen.text().endswith("    | two\n    | lines\n")


def test_long_quotes_are_wrapped_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a long line goes on behind the bar; elsewhere it is left whole."""
    monkeypatch.setenv("COLUMNS", "30")
    screen, pipe = Screen(moves=True), Screen(moves=False)

    for stream in (screen, pipe):
        Terminal(stream).quote("What: authorization revoked by the seller\n\nEnd")

    assert screen.text().splitlines() == [
        "    │ What: authorization",
        "    │   revoked by the seller",
        "    │",
        "    │ End",
    ]
    assert pipe.text().splitlines()[0] == "    │ What: authorization revoked by the seller"


def test_quotes_are_set_off() -> None:
    """What somebody else has written stands behind a bar, without trailing blanks."""
    screen = Screen(moves=False)

    Terminal(screen).quote("one\n\ntwo")

    assert screen.text() == "    │ one\n    │\n    │ two\n"
