"""A DAG that looks at every credential and tells each breakage once, to whom it concerns.

.. code-block:: python

    from airflow_provider_lwa.monitoring import lwa_credential_monitor

    dag = lwa_credential_monitor(conn_ids=["lwa_default"], notifiers=[...])

``discover`` says which connections, ``probe`` looks at them in batches, and ``evaluate_and_notify`` alone
keeps the state, in the Variable ``lwa_health.<dag_id>``: what is known is written down before it is told, and
what was told is crossed out afterwards. So a channel that fails is tried again and no other hears twice. The
rules are in :mod:`airflow_provider_lwa.health`; this module only gives them Airflow's tasks, Variables and
notifiers.

Nothing is looked up while the DAG file is parsed.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    Variable,
    conf,
    get_current_context,
    task,
)

from airflow_provider_lwa._airflow import AIRFLOW_V_3_0_PLUS
from airflow_provider_lwa.amazon.errors import clean
from airflow_provider_lwa.health import incidents, outbox
from airflow_provider_lwa.health.record import AlertPolicy
from airflow_provider_lwa.health.verdict import SEVERITIES, Observation, Severity, line
from airflow_provider_lwa.health.wording import message
from airflow_provider_lwa.hooks.lwa import LwaHook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import BaseNotifier, Context

    from airflow_provider_lwa.health.outbox import Owed

__all__ = ["AlertPolicy", "CredentialMonitorError", "Route", "lwa_credential_monitor"]

logger = logging.getLogger(__name__)

#: Beginning of the Variables that hold what monitors know.
STATE_PREFIX = "lwa_health."

_ENVIRONMENT_PREFIX = "AIRFLOW_CONN_"
_ATTEMPTS_PER_CHANNEL = 3
#: Airflow hides the value of a Variable with such a word in its name, here the word "healthy" everywhere.
_HIDING_WORDS = (
    "token",
    "secret",
    "password",
    "passwd",
    "authorization",
    "api_key",
    "apikey",
    "proxy",
    "dsn",
)


class CredentialMonitorError(AirflowException):
    """The monitor could not do all of its work. What it knows is saved; what is owed is sent next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who hears what.

    The notifiers find the message as ``lwa`` in their templates: ``{{ lwa.title }}``, ``text``, ``markdown``,
    ``severity``, ``phase``, ``dedup_key``, ``pd_action`` and more, see
    :func:`airflow_provider_lwa.health.wording.message`. Each of them is copied for each message.

    :param notifiers: any notifiers of Airflow's providers
    :param min_severity: the least severity that concerns them
    """

    notifiers: Sequence[BaseNotifier]
    min_severity: Severity = "warning"

    def __post_init__(self) -> None:
        """Refuse a severity that does not exist where the route is written, not when an alert is due."""
        if self.min_severity not in SEVERITIES:
            raise ValueError(f"min_severity is {self.min_severity!r}; there are {', '.join(SEVERITIES)}.")


def lwa_credential_monitor(
    dag_id: str = "lwa_credential_monitor",
    *,
    schedule: Any = "*/15 * * * *",
    conn_ids: Sequence[str] | Callable[[], Sequence[str]] | None = None,
    notifiers: Sequence[BaseNotifier] = (),
    routes: Sequence[Route] = (),
    policy: AlertPolicy | None = None,
    api_probe: bool = True,
    batch_size: int = 25,
    deployment: str | None = None,
    **dag_arguments: Any,
) -> DAG:
    """Make the DAG that watches credentials.

    :param dag_id: its id, also the end of the state's name
    :param schedule: how often to look
    :param conn_ids: the connections, or a function that names them when the DAG runs; by default those of
        type ``lwa`` set in environment variables (a task cannot list those of Airflow's database)
    :param notifiers: who hears of everything; the same as a route with these notifiers
    :param routes: who hears what
    :param policy: when something is worth a message
    :param api_probe: also make the API's cheap read-only call, where the API has one
    :param batch_size: connections that one task looks at; more than 25 make Airflow's masking of secrets slow
    :param deployment: names this Airflow in the keys of incidents; by default the host of its base URL
    :param dag_arguments: anything else for the DAG, such as ``tags`` or ``default_args``
    :return: the DAG; keep it in a variable at the top of a DAG file
    :raises TypeError: if ``conn_ids`` is a text
    :raises ValueError: if ``dag_id`` or a severity cannot be used
    """
    key = _state_key(dag_id)
    if isinstance(conn_ids, str):
        raise TypeError("conn_ids is a list of connection ids, not one of them.")
    channels = _channels([*routes, Route(notifiers=notifiers)])
    rules = policy or AlertPolicy()
    with DAG(dag_id, schedule=schedule, **_dag_arguments(dag_arguments)) as dag:

        @task
        def discover() -> list[list[str]]:
            names = _in_service(conn_ids)
            return [names[start : start + batch_size] for start in range(0, len(names), batch_size)]

        @task
        def probe(conn_ids: list[str]) -> list[dict[str, Any]]:
            return [_look(conn_id, api=api_probe).to_json() for conn_id in conn_ids]

        @task(trigger_rule="all_done", max_active_tis_per_dag=1)
        def evaluate_and_notify(batches: list[list[str]], looks: Sequence[Any] | None) -> dict[str, int]:
            inventory = [conn_id for batch in batches for conn_id in batch]
            seen = [Observation.from_json(one) for batch in _each(looks) for one in batch]
            monitor = _Monitor(key, channels, rules, deployment or _deployment())
            return monitor.cycle(inventory, seen, get_current_context())

        batches = discover()
        evaluate_and_notify(batches, probe.expand(conn_ids=batches))  # type: ignore[arg-type]  # because Airflow resolves them
    return dag


def _dag_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {"retries": 1, "retry_delay": timedelta(seconds=30), **(given.get("default_args") or {})}
    return {
        "start_date": datetime(2024, 1, 1, tzinfo=UTC),
        "tags": ["amazon", "monitoring"],
        "doc_md": __doc__,
        **given,
        "default_args": defaults,
        "catchup": False,
        "max_active_runs": 1,  # the state has one writer
    }


def _state_key(dag_id: str) -> str:
    hiding = [word for word in _HIDING_WORDS if word in dag_id.lower()]
    if hiding:
        raise ValueError(
            f"A dag_id with {hiding[0]!r} in it would make Airflow hide what the monitor stores."
        )
    return f"{STATE_PREFIX}{dag_id}"


def _in_service(conn_ids: Sequence[str] | Callable[[], Sequence[str]] | None) -> list[str]:
    given = conn_ids() if callable(conn_ids) else conn_ids
    names = sorted(set(_in_environment(os.environ) if given is None else given))
    if not names:
        raise CredentialMonitorError(
            "There is no connection to watch. Name them with conn_ids=[...]; without it only those of type "
            "lwa in AIRFLOW_CONN_... environment variables are found, as a task cannot list the database."
        )
    return names


def _in_environment(environment: Mapping[str, str]) -> list[str]:
    return [
        name.removeprefix(_ENVIRONMENT_PREFIX).lower()
        for name, value in environment.items()
        if name.startswith(_ENVIRONMENT_PREFIX) and _conn_type(value) == LwaHook.conn_type
    ]


def _conn_type(value: str) -> str | None:
    """Read the type of a connection as environment variables hold it, JSON or URI, and nothing else of it."""
    try:
        if not value.lstrip().startswith("{"):
            return urlsplit(value).scheme
        found = json.loads(value).get("conn_type")
    except ValueError:  # somebody else's, and not to be read
        return None
    return found if isinstance(found, str) else None


def _look(conn_id: str, *, api: bool) -> Observation:
    seen = LwaHook(conn_id).check(api=api, retired=False)
    logger.info("Connection %s: %s", conn_id, line(seen))
    return seen


def _each(looks: Sequence[Any] | None) -> Iterator[Any]:
    """Go through what the probes gave, if any did; by index, or Airflow logs an error at the end."""
    if looks is not None:
        yield from (looks[index] for index in range(len(looks)))


def _deployment() -> str:
    base_url = conf.get("api" if AIRFLOW_V_3_0_PLUS else "webserver", "base_url", fallback="")
    return urlsplit(base_url or "").netloc or "airflow"


@dataclass(frozen=True, slots=True)
class _Channel:
    notifier: BaseNotifier
    min_severity: Severity


def _channels(routes: Sequence[Route]) -> dict[str, _Channel]:
    """Give each notifier a name that is the same in every run: its place among the routes, and its class."""
    return {
        f"{place}.{number} {type(notifier).__name__}": _Channel(notifier, route.min_severity)
        for place, route in enumerate(routes)
        for number, notifier in enumerate(route.notifiers)
    }


@dataclass(frozen=True, slots=True)
class _Monitor:
    """The single writer of one monitor's state."""

    key: str
    channels: Mapping[str, _Channel]
    policy: AlertPolicy
    deployment: str

    def cycle(self, inventory: list[str], seen: list[Observation], context: Context) -> dict[str, int]:
        """Take one step: learn, write down, tell, cross out.

        :param inventory: the connections in service
        :param seen: what the probes saw
        :param context: of the task
        :return: number of credentials by state
        :raises CredentialMonitorError: after everything is saved, if something could not be looked at or told
        """
        stored = _load(self.key)
        now = time.time()
        outcome = incidents.cycle(
            now, seen, stored, self.policy, deployment=self.deployment, inventory=inventory
        )
        earlier, damaged = outbox.read(stored.get("outbox") if isinstance(stored, dict) else None)
        if outcome.lost or damaged:
            logger.warning(
                "Unreadable and begun anew in Variable %s: %s",
                self.key,
                ", ".join([*outcome.lost, *(["outbox"] if damaged else [])]),
            )
        wanting = {name: channel.min_severity for name, channel in self.channels.items()}
        owed = outbox.owe(earlier, outcome.notifications, wanting)
        _save(self.key, outcome.state, owed)
        failed = self._tell(owed, outcome.state, context)
        unseen = sorted(set(inventory) - {one.conn_id for one in seen})
        _complain(failed, unseen)
        return dict(Counter(record.state for record in incidents.read(outcome.state).records.values()))

    def _tell(self, owed: tuple[Owed, ...], state: dict[str, Any], context: Context) -> list[str]:
        """Send what is owed and cross out what was taken; say which channels failed."""
        sent: set[tuple[str, str]] = set()
        failures: Counter[str] = Counter()
        try:
            for each in owed:
                words = message(each.notification)
                for name in each.channels:
                    if failures[name] >= _ATTEMPTS_PER_CHANNEL:
                        continue
                    if self._send(name, words, context):
                        sent.add((each.notification.key, name))
                    else:
                        failures[name] += 1
        finally:
            if sent:
                _save(self.key, state, outbox.cross_out(owed, sent))
        return sorted(failures)

    def _send(self, name: str, words: dict[str, Any], context: Context) -> bool:
        try:
            _notify(self.channels[name].notifier, words, context)
        except Exception as error:  # noqa: BLE001 - because a notifier may raise anything, and the others must be heard
            logger.error(  # noqa: TRY400 - because the traceback may show addresses that are keys themselves
                "%s did not take %r: %s: %s", name, words["title"], type(error).__name__, clean(str(error))
            )
            return False
        logger.info("%s took: %s", name, words["title"])
        return True


def _notify(notifier: BaseNotifier, words: dict[str, Any], context: Context) -> None:
    """Send one message through a copy of the notifier, for rendering its templates changes it for good.

    The steps are those of ``BaseNotifier.__call__``, which on Airflow 2 swallows the failure to send.
    """
    copied = copy.deepcopy(notifier)
    own: Any = copy.copy(context)
    own["lwa"] = words
    copied._update_context(own)  # noqa: SLF001 - because a notifier's template fields belong into its context
    copied.render_template_fields(own)
    copied.notify(own)


def _load(key: str) -> Any:
    text = Variable.get(key, None)
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _save(key: str, state: dict[str, Any], owed: tuple[Owed, ...]) -> None:
    Variable.set(
        key,
        json.dumps({**state, "outbox": outbox.plain(owed)}),
        description="What the credential monitor knows; it holds no credential.",
    )


def _complain(failed: list[str], unseen: list[str]) -> None:
    complaints = []
    if failed:
        complaints.append(f"Not delivered, tried again next time: {', '.join(failed)}.")
    if unseen:
        complaints.append(f"Not looked at, state unchanged: {', '.join(unseen)}; see the probe tasks.")
    if complaints:
        raise CredentialMonitorError(" ".join(complaints))
