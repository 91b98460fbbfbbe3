"""What the emulator remembers of a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JournalEntry:
    """
    One request that reached the emulator. Holds no secret.

    :param at: when, on the emulator's clock
    :param kind: ``token``, ``api``, ``download`` or ``control``
    :param method: the HTTP method
    :param host: the Host header
    :param path: the path without its region prefix and without the query, which may hold a signature
    :param region: the region named by the path prefix
    :param operation: Amazon's name of the operation
    :param status: the status of the answer; ``None`` when none was given
    :param fault: the kind of the fault that was put on this request
    :param grant_type: the grant asked for at the token endpoint
    :param client_id: the application
    :param credential: the fingerprint of the refresh token behind the request
    :param api_headers_sent: whether a header carried an access token
    :param user_agent: the caller's name for itself
    :param report_id: the report this was about
    """

    at: float
    kind: str
    method: str
    host: str
    path: str
    region: str | None
    operation: str | None
    status: int | None
    fault: str | None
    grant_type: str | None
    client_id: str | None
    credential: str | None
    api_headers_sent: bool
    user_agent: str
    report_id: str | None
