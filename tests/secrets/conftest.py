"""A hunt for secrets in everything that leaves our hands, however it was written down."""

from __future__ import annotations

import json
import logging
import os
import pickle
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Seller


class Ears(logging.Handler):
    """Hears every log record, also those that no handler would show, with all that hangs on it."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message, its arguments and its exception with the variables of every frame."""
        shown = f"{record.name} {record.getMessage()} {record.args!r} {vars(record)!r}"
        if record.exc_info and record.exc_info[1]:
            shown += told_by(record.exc_info[1])
        self.heard.append(shown)


def told_by(error: BaseException) -> str:
    """:return: All that an exception tells: text, form, pickle, and its traceback with local variables."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    try:
        pickled = repr(pickle.dumps(error))
    except (TypeError, AttributeError, pickle.PicklingError):
        pickled = ""
    return f"{error} {error!r} {error.args!r} {vars(error)!r} {pickled} {''.join(frames.format())}"


@dataclass
class Hunt:
    """Collects what was told, and looks for what may not be in it.

    :param seller: whose secrets, and everything that Amazon has issued by the end
    :param ears: what was logged
    :param folders: where files may be written
    """

    seller: Seller
    ears: Ears
    folders: list[Path]
    told: dict[str, str] = field(default_factory=dict)

    def hear(self, place: str, said: Any) -> None:
        """Keep something that left our hands."""
        self.told[place] = self.told.get(place, "") + (said if isinstance(said, str) else json.dumps(said))

    @contextmanager
    def failing(self, place: str) -> Iterator[None]:
        """Keep what a failure tells; that nothing fails is a failure of the test."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - because every kind may tell
            here = error.__traceback__
            there = here and here.tb_next  # which leaves out the variables of the test itself
            self.hear(place, told_by(error.with_traceback(there and there.tb_next)))
        else:
            pytest.fail(f"{place} did not fail")

    @property
    def needles(self) -> dict[str, str]:
        """Every secret that exists by now, by what it is."""
        amazon = self.seller.amazon
        applications = amazon.applications.values()
        secrets = {f"secret of {app.client_id}": s.value for app in applications for s in app.secrets}
        grants = {f"refresh token {number}": token for number, token in enumerate(amazon.grants)}
        tokens = {f"access token {number}": token for number, token in enumerate(amazon.tokens)}
        return {"pre-signed address": "X-Amz-Signature=", **secrets, **grants, **tokens}

    def finds(self) -> list[str]:
        """:return: Each secret with the place where it was found, in any form."""
        self.hear("logs", "\n".join(self.ears.heard))
        for path in (path for folder in self.folders for path in folder.rglob("*") if path.is_file()):
            self.hear(f"file {path.name}", path.read_bytes().decode("latin-1"))
        return [
            f"{name} in {place}"
            for name, secret in self.needles.items()
            for place, text in self.told.items()
            if any(form in text for form in forms(secret))
        ]


def forms(secret: str) -> set[str]:
    """:return: How a secret can look: what is behind its bar, which the whole contains, plain and encoded."""
    part = secret.partition("|")[2] or secret
    return {part, quote(part, safe=""), quote_plus(part), json.dumps(part)[1:-1]}


@pytest.fixture
def hunt(seller: Seller, tmp_path: Path) -> Iterator[Hunt]:
    """:return: a hunt with everything logged at DEBUG, also by the libraries below us"""
    ears = Ears()
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    deaf = [logger for logger in loggers if logger.name == "root" or not logger.propagate]
    for logger in deaf:
        logger.addHandler(ears)
    yield Hunt(seller, ears, [tmp_path, Path(os.environ["AIRFLOW_HOME"])])
    for logger in deaf:
        logger.removeHandler(ears)
    for logger, level, disabled in before:
        logger.setLevel(level)
        logger.disabled = disabled
