"""What a connection says of itself besides its credential: silence, dates, fingerprints, where it leads."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace

_PRINT_LENGTH = 10  # enough to see a change; nothing can be guessed from 40 bits of a long random secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The circumstances of one credential.

    :param retired: out of service
    :param muted_until: no alerts before this moment
    :param authorized_on: when the account authorized the application
    :param rotated_on: when the application's client secret was made
    :param grant_print: fingerprint of the refresh token
    :param client_print: fingerprint of the client secret
    :param runs_out: Amazon ends what it gives for this API, so a new one begins a new term
    :param hosts: of the token endpoint and, where there is one, of the API
    :param grant_since: when the refresh token was seen to change
    :param client_since: when the client secret was seen to change
    """

    retired: bool = False
    muted_until: float | None = None
    authorized_on: float | None = None
    rotated_on: float | None = None
    grant_print: str | None = None
    client_print: str | None = None
    runs_out: bool = False
    hosts: tuple[str, ...] = ()
    grant_since: float | None = None
    client_since: float | None = None

    @property
    def authorized(self) -> float | None:
        """When the account last authorized the application, as far as is known."""
        return max(filter(None, (self.authorized_on, self.grant_since)), default=None)

    @property
    def rotated(self) -> float | None:
        """When the client secret was made, as far as is known."""
        return max(filter(None, (self.rotated_on, self.client_since)), default=None)

    def followed_by(self, new: Standing, at: float) -> Standing:
        """Take over what a later look knows, and learn from changed fingerprints when a term began.

        :param new: as the connection is now
        :param at: when that was seen
        """
        granted = _changed(self.grant_print, new.grant_print) and (new.runs_out or self.authorized)
        rotated = _changed(self.client_print, new.client_print) and (new.runs_out or self.rotated)
        return replace(
            new,
            grant_print=new.grant_print or self.grant_print,
            client_print=new.client_print or self.client_print,
            grant_since=at if granted else self.grant_since,
            client_since=at if rotated else self.client_since,
        )


#: Of a connection that nobody has read yet.
UNKNOWN = Standing()


def _changed(old: str | None, new: str | None) -> bool:
    return old is not None and new is not None and old != new


def fingerprint(value: str, salt: str) -> str:
    """Give what tells two secrets apart and nothing else about them.

    :param value: a refresh token or client secret
    :param salt: what keeps equal values of different owners apart, such as the client id
    """
    return hmac.new(salt.encode(), value.encode(), hashlib.sha256).hexdigest()[:_PRINT_LENGTH]
