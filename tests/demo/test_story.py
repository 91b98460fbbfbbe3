"""The demo's story: told whole on a real Airflow, and ended by one sentence when it cannot be told."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from airflow_provider_lwa.demo.folder import Folder
from airflow_provider_lwa.demo.story import RUN, listings, readable, tell

COMMAND = [sys.executable, "-P", "-m", "airflow_provider_lwa.demo"]


def those_at_work_in(folder: Path) -> list[int]:
    """Find the living processes that work in a folder."""
    return [process.pid for process in psutil.process_iter() if _folder_of(process) == str(folder)]


def _folder_of(process: psutil.Process) -> str | None:
    try:
        return process.cwd() if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


@pytest.mark.airflow(since="3.3")
def test_the_whole_story(tmp_path: Path) -> None:
    """One command shows a pull, the alert and the recovery, says what it took, and leaves nothing running."""
    folder = tmp_path / "kept"

    done = subprocess.run(
        [*COMMAND, "--exit", "--keep", str(folder)], capture_output=True, text=True, check=False, timeout=240
    )

    told = done.stdout
    assert done.returncode == 0, told + done.stderr
    report = Path(re.search(r"^    (/.*\.tsv)$", told, re.MULTILINE)[1])
    assert report.read_text().splitlines()[0] == "item-name\tseller-sku\tprice\tquantity\tasin1"
    assert f"{report.stat().st_size:,} bytes, 1,000 rows" in told
    assert "Token requests that Amazon has seen so far: 1, for " in told
    alert, recovery = told.index("[FIRING]"), told.index("[RESOLVED]")
    assert alert < recovery
    assert re.search(r"^All this took \d+ s\. Its files: ", told, re.MULTILINE)
    assert told.endswith("Ended. Nothing is left running.\n")
    assert those_at_work_in(folder) == []


@pytest.mark.airflow(since="3.3")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interruption_leaves_nothing_running(number: signal.Signals, tmp_path: Path) -> None:
    """Interrupted while Airflow starts, it says so and ends all that it has started."""
    folder = tmp_path / "kept"
    demo = subprocess.Popen([*COMMAND, "--keep", str(folder)], stdout=subprocess.PIPE, text=True)
    while not those_at_work_in(folder):
        time.sleep(0.1)

    os.kill(demo.pid, number)
    told, _ = demo.communicate(timeout=30)

    assert demo.returncode == 130
    assert told.endswith("Interrupted. Nothing is left running.\n")
    assert those_at_work_in(folder) == []


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """A port that somebody else listens on ends it with a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stream = io.StringIO()

        assert tell(stream, port=port, keep=tmp_path / "kept", stay=False) == 1

    assert f"The demo ends here. Port {port} on 127.0.0.1 is taken" in stream.getvalue()


def test_a_kept_run_is_not_overwritten(tmp_path: Path) -> None:
    """The folder of --keep is used once."""
    folder = Folder(tmp_path / "kept")
    folder.claim(patience=0)
    folder.release()
    stream = io.StringIO()

    assert tell(stream, port=None, keep=tmp_path / "kept", stay=False) == 1
    assert "keeps an earlier run. Choose another folder" in stream.getvalue()


def test_a_strangers_folder_is_not_used(tmp_path: Path) -> None:
    """A folder with other files is refused."""
    (tmp_path / "thesis").touch()
    stream = io.StringIO()

    assert tell(stream, port=None, keep=tmp_path, stay=False) == 1
    assert "files of somebody else" in stream.getvalue()


def test_works_where_git_does_not_look() -> None:
    """Without --keep everything is written to one folder of the checkout that git ignores."""
    root = Path(__file__).parents[2]

    assert RUN.relative_to(root).parts == (".environments", "demo-run")
    assert ".environments" in (root / ".gitignore").read_text()


def test_listings_are_a_report() -> None:
    """The invented report has a header and as many rows as asked for, all of the same width."""
    lines = listings(6).splitlines()

    assert len(lines) == 7
    assert {line.count("\t") for line in lines} == {4}


@pytest.mark.parametrize(
    ("posted", "shown"),
    [
        (json.dumps({"text": "one\ntwo", "severity": "error"}), "one\ntwo"),
        (json.dumps({"no": "text"}), '{"no": "text"}'),
        (json.dumps("quoted"), '"quoted"'),
        ("plain words", "plain words"),
    ],
    ids=["an object with a text", "another object", "no object", "no JSON"],
)
def test_messages_are_laid_out_for_reading(posted: str, shown: str) -> None:
    """The text of a message is shown as text; anything else as it came."""
    assert readable(posted) == shown
