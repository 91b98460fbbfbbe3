"""Notifications in words: what happened, since when, what it means, what to do, what comes next.

Only what is known is said. Every text passes :func:`~airflow_provider_lwa.amazon.errors.redact` last, so that
nothing in the shape of a Login with Amazon secret can leave, wherever it came from.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.amazon.errors import redact
from airflow_provider_lwa.health.memory import OF_TROUBLE
from airflow_provider_lwa.health.verdict import facts, verdict

if TYPE_CHECKING:
    from airflow_provider_lwa.health.incidents import Notification
    from airflow_provider_lwa.health.memory import About
    from airflow_provider_lwa.health.verdict import Layer

_TITLE_LENGTH = 105  # and a few more where redacting what was cut lengthens it: always less than 110
_NAME_LENGTH = 40
_NAMES_SHOWN = 20
#: What Markdown would take for its own, in words that others have written.
_PLAIN = str.maketrans({"*": "•", "`": "'", "<": "(", ">": ")", "[": "(", "]": ")"})

_IMPACT: dict[Layer, str] = {
    "local": "Nothing is sent to Amazon for it; tasks that use it fail at once.",
    "token": "No access token can be had; tasks that need a new one fail at once, without retries.",
    "api": "Login with Amazon may still give access tokens, but the API refuses calls made with them.",
    "operation": "Access tokens can be had, but calls that tasks make are refused.",
}
_PASSING = "It may pass by itself; until then tasks that need an answer from Amazon retry or fail."
_PROVEN: dict[Layer, str] = {
    "local": "the connection can be read and is complete",
    "token": "Login with Amazon gives access tokens",
    "api": "the API accepts calls",
    "operation": "tasks' calls are accepted, or none has been refused for long",
}
#: What has no impact yet, or another than a layer's.
_OVERVIEW_IMPACT = {
    "operators_failing": "Looks see health, yet tasks fail.",
    "authorization_expiring": "From that day on no access token can be had for it.",
    "client_secret_expiring": "From that day on the API refuses the calls of all its connections.",
    "inventory_shrunk": "They are not being checked, and their alerts rest.",
    "stale": "A breakage of theirs would not be noticed.",
}
_SINGLE = frozenset({"credential", "operators", "authorization"})
_OVER: dict[About, str] = {
    "application": "Login with Amazon accepts the application's client secret again.",
    "revocations": "Each of these connections is healthy again.",
    "endpoint": "It answers again.",
    "operators": "Tasks have met no more failures.",
    "authorization": "A new authorization is in place.",
    "client_secret": "A new client secret is in place.",
    "inventory": "The connections are there again.",
    "stale": "The connections are looked at again.",
}
_CLOSED: dict[About, str] = {
    "endpoint": "Those that still fail are told one by one.",
    "authorization": "It is no longer watched, or the day of its authorization no longer known.",
    "client_secret": "It is no longer watched, or the day of its client secret no longer known.",
    "inventory": "What is missing now is few enough, or has been for long enough, to be meant.",
}


def message(notification: Notification) -> dict[str, Any]:
    """Put a notification into words, as the key ``lwa`` of a notifier's template context.

    :param notification: what to tell
    :return: ``title`` (one line of less than 110 characters), ``text``, ``markdown``, ``severity``,
        ``phase``, ``dedup_key``, ``pd_action`` (``trigger`` or ``resolve``), ``kind``, ``conn_ids``,
        ``client_id``, ``api``, ``region``, ``owner`` (as connections name theirs), ``addressee`` (who can
        mend this kind of breakage), ``at`` and ``since`` (ISO 8601)
    """
    head, topic = _head(notification), _topic(notification)
    lines = [(label, redact(words)) for label, words in _lines(notification) if words]
    listed = [f"- **{label}:** {words.translate(_PLAIN)}" for label, words in lines]
    return {
        "title": f"{head} {topic}",
        "text": "\n".join([f"{head} {topic}", *(f"{label}: {words}" for label, words in lines)]),
        "markdown": "\n".join([f"**{head} {topic.translate(_PLAIN)}**", "", *listed]),
        "severity": notification.severity,
        "phase": notification.phase,
        "dedup_key": redact(notification.key),
        "pd_action": "trigger" if _goes_on(notification) else "resolve",
        "kind": notification.kind,
        "conn_ids": [redact(conn_id) for conn_id in notification.conn_ids],
        "client_id": redact(notification.client_id or "") or None,
        "api": redact(notification.api or "") or None,
        "region": redact(notification.region or "") or None,
        "owner": redact(", ".join(notification.owners)) or None,
        "addressee": verdict(notification.kind).addressee,
        "at": _iso(notification.at),
        "since": _iso(notification.since),
    }


def when(at: float) -> str:
    """Write a moment as people read it.

    :param at: Unix seconds
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds: float) -> str:
    """Write a length of time as people say it.

    :param seconds: how long
    """
    minutes = max(0, int(seconds)) // 60
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min"))
    return " ".join([f"{number} {unit}" for number, unit in parts if number][:2]) or "less than a minute"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _goes_on(notification: Notification) -> bool:
    return notification.phase in ("firing", "update", "reminder")


def _head(notification: Notification) -> str:
    loud = " critical" if notification.severity == "critical" and _goes_on(notification) else ""
    return f"[{notification.phase.upper()}{loud}]"


def _topic(notification: Notification) -> str:
    """Write the title without its head: who, what, where."""
    if notification.about in _SINGLE:
        who = f"Amazon credential {_short(', '.join(notification.conn_ids))}"
        where = ", ".join(filter(None, (notification.api, notification.region)))
    else:
        who, where = _who(notification), _scope(notification)
    topic = redact(f"{who}: {_what_in_a_word(notification)}{f' ({where})' if where else ''}")
    room = _TITLE_LENGTH - len(_head(notification)) - 1
    return topic if len(topic) <= room else redact(topic[: room - 1] + "…")


def _who(notification: Notification) -> str:
    if notification.about == "endpoint":
        return f"Amazon endpoint {_short(notification.place or '')}"
    if notification.about in ("inventory", "stale"):
        return "Credential monitor"
    return f"Amazon application {_tail(notification.client_id)}"


def _scope(notification: Notification) -> str:
    """Say how many connections it is about, and of how many where that tells something."""
    some = len(notification.conn_ids)
    of_some = notification.about in ("revocations", "inventory") or notification.outdated
    return f"{some} of {_count(notification.total)}" if of_some else _count(some)


def _what_in_a_word(notification: Notification) -> str:
    headline = _headline(notification)
    if notification.phase == "closed":
        done = "told no longer" if notification.about in _CLOSED else "no longer watched"
        return f"{done}, last {headline}"
    if notification.phase != "resolved":
        return headline
    words = {"application": "accepted again", "endpoint": "answers again", "credential": "healthy again"}
    return words.get(notification.about, f"over: {headline}")


def _headline(notification: Notification) -> str:
    headline = verdict(notification.kind).headline
    if notification.outdated:
        return "outdated client secret"
    if notification.about == "revocations":
        return "authorizations revoked"
    if notification.days is None:
        return headline
    what = headline.removesuffix(" runs out")
    if notification.days <= 0:
        return f"{what} has run out"
    return f"{headline} within {notification.days} day{'' if notification.days == 1 else 's'}"


def _lines(notification: Notification) -> list[tuple[str, str]]:
    if notification.phase == "resolved":
        met = "Clear the task runs that failed meanwhile." if notification.about in OF_TROUBLE else "Nothing."
        return [*_end(notification), ("Do", met)]
    if notification.phase == "closed":
        return [*_end(notification), ("Do", "Nothing, if it was taken out of service on purpose.")]
    return [
        ("What", _what(notification)),
        ("Connections", "" if notification.about in _SINGLE else _names(notification)),
        ("Since", _since(notification)),
        ("Impact", _impact(notification)),
        ("Do", _do(notification)),
        ("Next", _next(notification)),
        ("Incident", notification.key),
    ]


def _what(notification: Notification) -> str:
    headline = _headline(notification)
    was = f" (before: {verdict(notification.before).headline})" if notification.before else ""
    still = "still " if notification.phase == "reminder" else ""
    said = f": {notification.description.rstrip('.')}" if notification.description else ""
    if notification.ends is not None:
        said = f": {when(notification.ends)}"
    answer = facts(notification.status, notification.code, notification.request_id)
    return f"{still}{headline}{was}{said}{f' ({answer})' if answer else ''}."


def _names(notification: Notification) -> str:
    shown = notification.conn_ids[:_NAMES_SHOWN]
    more = len(notification.conn_ids) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _since(notification: Notification) -> str:
    if verdict(notification.kind).name in _OVERVIEW_IMPACT:
        return f"first told {when(notification.since)}"
    good = notification.good
    return f"{when(notification.since)}; " + (
        f"last good {when(good)}" if good else "never seen healthy here"
    )


def _impact(notification: Notification) -> str:
    judged = verdict(notification.kind)
    impact = _OVERVIEW_IMPACT.get(judged.name) or (
        _IMPACT[notification.layer] if judged.permanent else _PASSING
    )
    others = _count(notification.working)
    if notification.outdated:
        impact += f" {others} of the same application work with another one: no rotation is needed."
    elif notification.working:
        impact += f" {others} of the same application work: these probably hold an outdated client secret."
    if notification.about == "revocations":
        impact += " So many at once are rarely their owners' doing: look at the application itself first."
    return f"{impact}{_met(notification)}"


def _met(notification: Notification) -> str:
    """Say which tasks have met it, as far as they have reported."""
    if not notification.failures:
        return ""
    times = f"{notification.failures} task failure{'' if notification.failures == 1 else 's'}"
    dags = f" in {', '.join(notification.dag_ids)}" if notification.dag_ids else ""
    return f" {times} reported{dags}."


def _do(notification: Notification) -> str:
    remedy = notification.remedy or "See the log of the monitor."
    return f"For {', '.join(notification.owners)}: {remedy}" if notification.owners else remedy


def _next(notification: Notification) -> str:
    soon = f"Reminder {when(notification.next_at)}." if notification.next_at else "No reminder."
    flapping = " It comes and goes, so it will count as over only after hours in health."
    repeated = " What was told before could not be read, so this may be a repetition."
    return (
        f"{soon} A message when it is over."
        f"{flapping if notification.flapping else ''}{repeated if notification.memory_lost else ''}"
    )


def _end(notification: Notification) -> list[tuple[str, str]]:
    if notification.phase == "closed":
        what = _CLOSED.get(notification.about, "No longer watched; it was not seen healthy.")
    else:
        what = _OVER.get(notification.about, f"Healthy again: {_PROVEN[notification.layer]}.")
    lasted = duration(notification.at - notification.since)
    return [
        ("What", what),
        ("Connections", "" if notification.about in _SINGLE else _names(notification)),
        ("Since", f"It was {_headline(notification)} from {when(notification.since)}, for {lasted}."),
        ("Incident", notification.key),
    ]


def _count(number: int) -> str:
    return f"{number} connection" + ("" if number == 1 else "s")


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _tail(client_id: str | None) -> str:
    """Give the end of a client id, in which two of them differ; redacted first, for an end has no shape."""
    unique = redact(client_id or "").rpartition(".")[2]
    return unique if len(unique) <= 12 else f"…{unique[-8:]}"  # noqa: PLR2004 - because eight of 32 tell them apart
