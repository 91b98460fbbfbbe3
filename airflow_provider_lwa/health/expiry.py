"""What runs out on a known day: an account's authorization, and the client secret of an application.

Amazon's "Renew authorizations" page gives the authorization of a public application 365 days; its "Rotate
your application's client secret" page gives the secret 180. A day that is not known is not guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_lwa.health.record import AlertPolicy, Record

_DAY = 86400.0


def authorization_ends(record: Record, policy: AlertPolicy) -> float | None:
    """Say when the account has to authorize again.

    :param record: the credential
    :param policy: how long an authorization lasts
    """
    begun = record.standing.authorized
    return None if begun is None else begun + policy.authorization_lasts.total_seconds()


def client_secrets_end(records: Iterable[Record], policy: AlertPolicy) -> dict[str, float]:
    """Say when the client secret of each application ends; the youngest that one of its connections knows.

    :param records: the credentials
    :param policy: how long a client secret lasts
    :return: by client id
    """
    ends: dict[str, float] = {}
    for record in records:
        begun = record.standing.rotated
        if record.client_id is not None and begun is not None:
            end = begun + policy.client_secret_lasts.total_seconds()
            ends[record.client_id] = max(end, ends.get(record.client_id, end))
    return ends


def step(end: float | None, now: float, policy: AlertPolicy) -> int | None:
    """Say which threshold is reached.

    :param end: when it runs out
    :param now: the present, in Unix seconds
    :param policy: the thresholds, in days
    :return: the least threshold reached; ``None`` while there is time, or if nothing is known
    """
    if end is None:
        return None
    return min((days for days in policy.expiry_days if end - now <= days * _DAY), default=None)
