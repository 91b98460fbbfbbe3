"""The edge to Airflow: its version, the ``[lwa]`` configuration, errors in the form its scheduler knows."""

from __future__ import annotations

import copy
import functools
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import AirflowFailException, conf

from airflow_provider_lwa.amazon.errors import (
    AccessDenied,
    ConfigurationError,
    CredentialError,
    InvalidInput,
    LwaError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_lwa.amazon.http import Door
    from airflow_provider_lwa.amazon.login import TokenAnswer, TokenRequest
    from airflow_provider_lwa.tokens import TokenSource

AIRFLOW_VERSION = tuple(int(part) for part in airflow_version.split(".")[:2])
AIRFLOW_V_3_0_PLUS = AIRFLOW_VERSION >= (3, 0)

#: Errors that no retry mends; a task that meets one fails at once, whatever its ``retries``.
PERMANENT = (CredentialError, ConfigurationError, InvalidInput, AccessDenied)


@functools.cache
def _failing(kind: type[LwaError]) -> type[LwaError]:
    return type(kind.__name__, (kind, AirflowFailException), {"__doc__": kind.__doc__, "__reduce__": _reduce})


def _reduce(error: LwaError) -> tuple[Any, ...]:
    return (_restore, (type(error).__mro__[1], error.message, error.__dict__.copy()))


def _restore(kind: type[LwaError], message: str, attributes: dict[str, Any]) -> LwaError:
    failing = _failing(kind)  # type: ignore[arg-type]  # because mypy takes the class for its instances
    error = failing.__new__(failing)
    Exception.__init__(error, message)
    error.__dict__.update(attributes)
    return error


def as_airflow_error(error: LwaError) -> LwaError:
    """Give a permanent error the form that makes Airflow fail the task without using up its retries.

    :param error: any of ours
    :return: the error itself if it may pass; otherwise one that is also an ``AirflowFailException``
    """
    if not isinstance(error, PERMANENT) or isinstance(error, AirflowFailException):
        return error
    return _restore(type(error), error.message, error.__dict__.copy())


@contextmanager
def airflow_errors(conn_id: str) -> Iterator[None]:
    """Name the connection in every error that passes, and let permanent ones fail the task at once.

    The way the error came is left behind: the variables there hold secrets, and some loggers show variables.

    :param conn_id: the connection in use
    :raises LwaError: what passed, in the form of :func:`as_airflow_error`
    """
    try:
        yield
    except LwaError as error:
        raise copy.copy(as_airflow_error(error.with_connection(conn_id))) from None


@dataclass(frozen=True, slots=True)
class Settings:
    """The ``[lwa]`` section of Airflow's configuration, checked.

    Field by field as described there; times in seconds.
    """

    token_cache: str
    cache_dir: Path
    expiry_margin: float
    refresh_ahead: float
    negative_ttl: float
    lock_wait: float
    request_budget: float
    endpoint_overrides: tuple[tuple[str, str], ...]
    allowed_hosts: tuple[str, ...]
    user_agent_application: str

    @classmethod
    def read(cls) -> Settings:
        """Read the configuration.

        :raises ConfigurationError: naming every option that cannot be used
        """
        problems: list[str] = []
        numbers = {name: _seconds(name, default, problems) for name, default in _NUMBERS.items()}
        overrides = _overrides(problems)
        if problems:
            raise ConfigurationError(problems, advice="Correct the [lwa] section of Airflow's configuration.")
        hosts = _text("allowed_hosts").replace(",", " ").split()
        return cls(
            token_cache=_text("token_cache") or "auto",
            cache_dir=_cache_dir(),
            endpoint_overrides=tuple(sorted(overrides.items())),
            allowed_hosts=tuple(sorted(host.lower() for host in hosts)),
            user_agent_application=_text("user_agent_application"),
            **numbers,
        )


_NUMBERS = {
    "expiry_margin": 60,
    "refresh_ahead": 600,
    "negative_ttl": 300,
    "lock_wait": 12,
    "request_budget": 25,
}


def _text(option: str) -> str:
    return (conf.get("lwa", option, fallback="") or "").strip()


def _cache_dir() -> Path:
    from airflow.configuration import AIRFLOW_HOME  # noqa: PLC0415 - because it is needed only here

    text = _text("cache_dir") or "{AIRFLOW_HOME}/lwa-cache"
    return Path(text.replace("{AIRFLOW_HOME}", str(AIRFLOW_HOME))).expanduser()


def _seconds(option: str, default: float, problems: list[str]) -> float:
    text = _text(option)
    try:
        value = float(text) if text else float(default)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        problems.append(f"[lwa] {option} is {text!r}, not a number of seconds.")
    return value


def _overrides(problems: list[str]) -> Mapping[str, str]:
    text = _text("endpoint_overrides")
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not all(isinstance(address, str) for address in value.values()):
        problems.append("[lwa] endpoint_overrides is not a JSON object of addresses.")
        return {}
    return value


def encryption_keys() -> list[str]:
    """Fernet keys that seal shared tokens: ``[lwa] cache_encryption_key``, else ``[core] fernet_key``.

    :return: keys, newest first; may be empty or unusable, which the store finds out
    """
    text = _text("cache_encryption_key") or conf.get("core", "fernet_key", fallback="") or ""
    return [key.strip() for key in text.split(",") if key.strip()]


def token_source(settings: Settings) -> TokenSource[TokenRequest]:
    """What hands out access tokens in this process: one for all hooks with the same configuration.

    :param settings: of :meth:`Settings.read`
    """
    from airflow_provider_lwa import tokens  # noqa: PLC0415 - because a DAG file needs no tokens

    @functools.cache
    def door() -> Door:
        from airflow_provider_lwa.amazon.http import Door  # noqa: PLC0415 - because it loads requests

        return Door(allowed_hosts=settings.allowed_hosts)

    def exchange(request: TokenRequest, budget: float) -> TokenAnswer:
        from airflow_provider_lwa.amazon import login  # noqa: PLC0415 - because it is needed only here

        return login.exchange(door(), request, budget=budget)

    numbers = {name: getattr(settings, name) for name in _NUMBERS}
    configuration = tokens.Configuration(
        store=settings.token_cache,
        directory=settings.cache_dir,
        keys=tuple(encryption_keys()),
        settings=tokens.Settings(**numbers),
    )
    return tokens.shared(configuration, exchange)
