"""The token sources of a process: one for each way of sharing, made when it is first asked for."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_lwa.tokens.records import Clock, Settings
from airflow_provider_lwa.tokens.safe import open_safe
from airflow_provider_lwa.tokens.source import TokenRequest, TokenSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_provider_lwa.amazon.login import TokenAnswer

R = TypeVar("R", bound=TokenRequest)


@dataclass(frozen=True, slots=True)
class Configuration:
    """How a deployment shares tokens; section ``[lwa]`` of its configuration.

    :param store: see :func:`airflow_provider_lwa.tokens.safe.open_safe`
    :param directory: where files go
    :param url: where a server is
    :param keys: Fernet keys, newest first
    :param settings: the numbers
    """

    store: str = "auto"
    directory: Path | None = None
    url: str | None = field(default=None, repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)
    settings: Settings = field(default_factory=Settings)


_shared: dict[Configuration, TokenSource[Any]] = {}
_lock = threading.Lock()


def shared(
    configuration: Configuration,
    exchange: Callable[[R, float], TokenAnswer],
    *,
    on_event: Callable[[str, Mapping[str, object]], None] | None = None,
) -> TokenSource[R]:
    """The process's token source for *configuration*, made at the first call.

    :param configuration: how to share tokens
    :param exchange: asks Amazon; the first caller's is used
    :param on_event: is told what happened; the first caller's is used
    """
    with _lock:
        source = _shared.get(configuration)
        if source is None:
            clock = Clock()
            safe = open_safe(
                configuration.store,
                clock,
                directory=configuration.directory,
                url=configuration.url,
                keys=configuration.keys,
            )
            source = TokenSource(
                safe, exchange, settings=configuration.settings, clock=clock, on_event=on_event
            )
            _shared[configuration] = source
        return source


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - because the parent's lock may be held by a thread that is not here
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
