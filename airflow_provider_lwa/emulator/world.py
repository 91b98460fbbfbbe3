"""What exists on this Amazon and what happened there: applications, sellers, reports, faults, the journal.

No HTTP here. Every control of the emulator is a method or an attribute of :class:`World`; the modules that
answer requests read it and change it.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_lwa.emulator.accounts import (
    ROLES,
    SCOPES,
    AccessToken,
    Afterwards,
    Application,
    Code,
    Grant,
    Secret,
    new_access_token,
    new_client_secret,
)
from airflow_provider_lwa.emulator.clock import Bucket, Clock
from airflow_provider_lwa.emulator.content import gzipped
from airflow_provider_lwa.emulator.faults import Fault, Faults
from airflow_provider_lwa.emulator.journal import JournalEntry
from airflow_provider_lwa.emulator.marketplaces import DEFAULT_MARKETPLACE, MARKETPLACES, REGIONS
from airflow_provider_lwa.emulator.report_types import KNOWN
from airflow_provider_lwa.emulator.reports import (
    DEFAULT_CONTENT_TYPE,
    Document,
    Report,
    ReportPlan,
    data,
    explanation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from airflow_provider_lwa.emulator.content import Content

__all__ = ["Application", "Grant", "JournalEntry", "Report", "World"]

_CODE_LIFETIME = 300.0
_FIRST_REPORT_NUMBER = 50001018001


class World:
    """
    Everything the emulator knows, and its controls.

    The attributes may be set at any time:

    * ``token_lifetime`` - what ``expires_in`` says, in seconds
    * ``latency`` - seconds before an answer leaves, by kind (``"token"``, ``"api"``, ``"download"``) or
      operation name; the request takes effect when it arrives
    * ``rate_limits`` - whether the usage plans of the Selling Partner API are enforced
    """

    clock: Clock
    token_lifetime: float
    latency: dict[str, float]
    rate_limits: bool

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.signing_key = secrets.token_bytes(32)
        self.reset()

    def reset(self) -> None:
        """Begin a fresh world: no application, no seller, no fault, an empty journal, real time."""
        with self.lock:
            self.clock = Clock()
            self.token_lifetime = 3600
            self.latency = {}
            self.rate_limits = False
            self.faults = Faults()
            self.applications: dict[str, Application] = {}
            self.grants: dict[str, Grant] = {}
            self.codes: dict[str, Code] = {}
            self.tokens: dict[str, AccessToken] = {}
            self.plans: dict[str, list[ReportPlan]] = {}
            self.report_types = set(KNOWN)
            self.reports: dict[tuple[str, str], Report] = {}
            self.documents: dict[str, Document] = {}
            self.buckets: dict[tuple[str, str, str], Bucket] = {}
            self._report_numbers: dict[str, Iterable[int]] = {}
            self._journal: list[JournalEntry] = []

    # Applications and their secrets

    def add_application(
        self,
        client_id: str | None = None,
        client_secret: str | None = None,
        *,
        roles: Iterable[str] = ROLES,
        scopes: Iterable[str] = SCOPES,
    ) -> Application:
        """
        Register an application.

        :param client_id: its client id; made up if not given
        :param client_secret: its client secret; made up if not given
        :param roles: what of the API it may call; see :data:`ROLES`
        :param scopes: what it may ask for with client credentials; see :data:`SCOPES`
        :return: the application
        :raises ValueError: if a role or a scope is unknown
        """
        _only_known("role", roles, ROLES)
        _only_known("scope", scopes, SCOPES)
        client_id = client_id or f"amzn1.application-oa2-client.{secrets.token_hex(16)}"
        application = Application(
            client_id, [Secret(client_secret or new_client_secret())], frozenset(roles), set(scopes)
        )
        self.applications[client_id] = application
        return application

    def rotate_secret(
        self,
        client_id: str,
        *,
        overlap: timedelta = timedelta(days=7),
        mode: Afterwards = "lwa_refuses",
        client_secret: str | None = None,
    ) -> str:
        """
        Give an application a new client secret; the old ones work until the overlap has passed on the
        emulator's clock.

        :param client_id: the application
        :param overlap: how long both work
        :param mode: what becomes of the old ones after that
        :param client_secret: the new one; made up if not given
        :return: the new client secret
        """
        with self.lock:
            application = self.applications[client_id]
            self._let_secrets_expire(application, overlap, mode)
            application.secrets.append(Secret(client_secret or new_client_secret()))
            return application.client_secret

    def expire_secret(self, client_id: str, *, mode: Afterwards = "api_refuses") -> None:
        """
        Let the client secrets of an application reach the end of their 180 days now.

        :param client_id: the application
        :param mode: what becomes of them
        """
        with self.lock:
            self._let_secrets_expire(self.applications[client_id], timedelta(0), mode)

    def _let_secrets_expire(self, application: Application, after: timedelta, mode: Afterwards) -> None:
        _only_known("mode", [mode], ("lwa_refuses", "api_refuses"))
        expires_at = self.clock.now() + after.total_seconds()
        for secret in application.secrets:
            if secret.expires_at is None or secret.expires_at > expires_at:
                secret.expires_at, secret.afterwards = expires_at, mode

    def detach(self, client_id: str, scope: str) -> None:
        """
        Take a scope from an application, as detaching its security profile from an API does.

        :param client_id: the application
        :param scope: the scope
        """
        self.applications[client_id].scopes.discard(scope)

    def attach(self, client_id: str, scope: str) -> None:
        """
        Give a scope to an application.

        :param client_id: the application
        :param scope: the scope
        """
        _only_known("scope", [scope], SCOPES)
        self.applications[client_id].scopes.add(scope)

    # Selling partners and their consent

    def add_seller(
        self,
        application: Application | str,
        refresh_token: str | None = None,
        selling_partner_id: str | None = None,
        *,
        region: str = "north_america",
        marketplace_ids: Iterable[str] | None = None,
        store_name: str = "Demo store",
    ) -> Grant:
        """
        Let a selling partner authorize an application.

        :param application: the application or its client id
        :param refresh_token: the refresh token; made up if not given
        :param selling_partner_id: who authorizes; made up if not given
        :param region: where
        :param marketplace_ids: where the selling partner trades; the region's largest marketplace if not
            given
        :param store_name: what the store is called
        :return: the grant
        """
        grant = self._new_grant(
            application, refresh_token, selling_partner_id, region, marketplace_ids, store_name
        )
        self.grants[grant.refresh_token] = grant
        return grant

    def add_code(
        self,
        application: Application | str,
        code: str | None = None,
        *,
        selling_partner_id: str | None = None,
        refresh_token: str | None = None,
        region: str = "north_america",
        marketplace_ids: Iterable[str] | None = None,
        redirect_uri: str | None = None,
        store_name: str = "Demo store",
    ) -> str:
        """
        Let a selling partner consent on Amazon's page, which gives an authorization code.

        :param application: the application or its client id
        :param code: the code; made up if not given
        :param selling_partner_id: who consents; made up if not given
        :param refresh_token: what the exchange will give; made up if not given
        :param region: where
        :param marketplace_ids: see :meth:`add_seller`
        :param redirect_uri: what the exchange must repeat; anything if not given
        :param store_name: what the store is called
        :return: the code: lives five minutes, works once
        """
        grant = self._new_grant(
            application, refresh_token, selling_partner_id, region, marketplace_ids, store_name
        )
        code = code or secrets.token_hex(10)
        self.codes[code] = Code(grant, redirect_uri, self.clock.now() + _CODE_LIFETIME)
        return code

    def _new_grant(
        self,
        application: Application | str,
        refresh_token: str | None,
        selling_partner_id: str | None,
        region: str,
        marketplace_ids: Iterable[str] | None,
        store_name: str,
    ) -> Grant:
        _only_known("region", [region], REGIONS)
        marketplace_ids = tuple(marketplace_ids or [DEFAULT_MARKETPLACE[region]])
        _only_known("marketplace", marketplace_ids, MARKETPLACES)
        client_id = application if isinstance(application, str) else application.client_id
        _only_known("application", [client_id], self.applications)
        return Grant(
            client_id,
            refresh_token or new_access_token("Atzr"),
            selling_partner_id or f"A{secrets.token_hex(6).upper()}",
            region,
            marketplace_ids,
            store_name,
        )

    def revoke(self, refresh_token: str, *, kill_access_tokens: bool = False) -> None:
        """
        Withdraw a selling partner's consent.

        :param refresh_token: the grant
        :param kill_access_tokens: also end the access tokens already issued, which otherwise work until they
            expire
        """
        with self.lock:
            grant = self.grants[refresh_token]
            grant.revoked = True
            for token in self.tokens.values():
                token.killed |= kill_access_tokens and token.grant is grant

    def restore(self, refresh_token: str) -> None:
        """
        Undo :meth:`revoke`; access tokens that were ended stay so.

        :param refresh_token: the grant
        """
        self.grants[refresh_token].revoked = False

    # Reports

    def plan_report(
        self,
        report_type: str,
        *,
        body: bytes | str | None = None,
        size: int | None = None,
        path: Path | None = None,
        status: Literal["DONE", "CANCELLED", "FATAL"] = "DONE",
        polls: int = 2,
        gzip: bool = True,
        lie_about_gzip: bool = False,
        content_type: str = DEFAULT_CONTENT_TYPE,
        fatal_reason: str | None = None,
        times: int | None = None,
    ) -> None:
        """
        Say how reports of one type will turn out that are asked for from now on.

        :param report_type: the type; ``*`` for all types that have no plan of their own
        :param body: the document
        :param size: or the number of bytes of a document made of rows, before compression
        :param path: or a file to serve as it is: compress it beforehand if ``gzip``
        :param status: ``DONE``; ``CANCELLED``, which has no document; or ``FATAL``
        :param polls: how many getReport answers say IN_QUEUE (the first) or IN_PROGRESS before the final one
        :param gzip: whether Amazon says that the document is gzip
        :param lie_about_gzip: whether that is untrue
        :param content_type: the type of the document
        :param fatal_reason: what the document of a ``FATAL`` report explains; ``""`` for no document
        :param times: for how many reports the plan holds: such plans are used up one after the other;
            ``None`` for all that follow
        :raises ValueError: if the plan is contradictory
        """
        _only_known("status", [status], ("DONE", "CANCELLED", "FATAL"))
        if sum(source is not None for source in (body, size, path)) > 1:
            raise ValueError("A report has one of body, size and path.")
        content: Content | None = None
        if status == "DONE":
            content = data(body, size, path)
        elif status == "FATAL":
            content = explanation(fatal_reason)
        if content is not None and path is None and gzip != lie_about_gzip:
            content = gzipped(content)
        plan = ReportPlan(status, polls, content, gzip, content_type, times)
        with self.lock:
            finite = [other for other in self.plans.get(report_type, []) if other.remaining is not None]
            self.plans[report_type] = [*finite, plan]
            self.report_types |= {report_type} - {"*"}

    def add_report(
        self,
        grant: Grant,
        report_type: str,
        *,
        marketplace_ids: Iterable[str] | None = None,
        data_start_time: str | None = None,
        data_end_time: str | None = None,
    ) -> Report:
        """
        Add a report: one that createReport asks for, or one that Amazon makes by itself, as settlement
        reports are.

        :param grant: whose report
        :param report_type: its type; :meth:`plan_report` says how it turns out
        :param marketplace_ids: for which marketplaces; all of the grant if not given
        :param data_start_time: the first moment covered
        :param data_end_time: the last moment covered
        :return: the report
        """
        with self.lock:
            seller = grant.selling_partner_id
            report_id = self._next_report_id(seller)
            plan = self._next_plan(report_type)
            document = self._new_document(report_id, grant, report_type, plan)
            report = Report(
                report_id,
                report_type,
                seller,
                tuple(marketplace_ids or grant.marketplace_ids),
                self.clock.now(),
                plan,
                document,
                data_start_time,
                data_end_time,
            )
            self.reports[seller, report_id] = report
            self.report_types.add(report_type)
            return report

    def _next_plan(self, report_type: str) -> ReportPlan:
        for plan in itertools.chain(self.plans.get(report_type, []), self.plans.get("*", [])):
            if plan.remaining is None:
                return plan
            if plan.remaining > 0:
                plan.remaining -= 1
                return plan
        return ReportPlan()

    def _new_document(
        self, report_id: str, grant: Grant, report_type: str, plan: ReportPlan
    ) -> Document | None:
        if plan.content is None:
            return None
        short = {"north_america": "na", "europe": "eu", "far_east": "fe"}[grant.region]
        document_id = f"amzn1.spdoc.1.4.{short}.{uuid.uuid4()}.T{secrets.token_hex(6).upper()}"
        document = Document(
            document_id,
            report_id,
            grant.selling_partner_id,
            report_type,
            plan.content,
            plan.compressed,
            plan.content_type,
        )
        self.documents[document_id] = document
        return document

    def _next_report_id(self, seller: str) -> str:
        numbers = self._report_numbers.setdefault(seller, itertools.count(_FIRST_REPORT_NUMBER))
        return str(next(iter(numbers)))

    # Faults

    def fail_next(
        self,
        n: int | None = 1,
        *,
        target: str = "token",
        kind: str = "status",
        status: int = 503,
        retry_after: float | datetime | str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
        after: int | None = None,
        location: str | None = None,
        remove: Iterable[str] = (),
        carried_out: bool | None = None,
    ) -> None:
        """
        Let the next matching requests fail. Faults for the same request are used up in the order in which
        they were set.

        :param n: how many; ``None`` for all until :meth:`clear_faults`
        :param target: ``token``, ``api``, ``download``, a grant type, an operation name, or ``*``
        :param kind: what happens; see :data:`airflow_provider_lwa.emulator.faults.KINDS`
        :param status: the status, for ``status``, ``json`` and ``redirect``
        :param retry_after: for ``throttle`` and ``status``: seconds, a time (sent as HTTP-date), or any text
        :param body: the body: text, bytes, or what is sent as JSON; for ``wrong_types`` the keys to replace
            in the answer
        :param headers: headers to add or replace
        :param seconds: how long ``hang`` lasts (until the caller gives up, if not given), or the pause
            between the pieces of ``slow_body`` and ``endless``
        :param after: how many bytes of the body ``reset`` and ``truncated`` let pass; half of it if not
            given, except that ``reset`` lets nothing of a token or an API answer pass
        :param location: where ``redirect`` points; the same path under another host name of the emulator if
            not given
        :param remove: keys that ``wrong_types`` removes from the answer
        :param carried_out: whether the request takes effect although its answer fails; if not given: it does
            where the answer breaks on its way, it does not where something else is answered
        :raises ValueError: if the kind is unknown
        """
        self.faults.add(
            Fault(
                n,
                target,
                kind,
                status,
                retry_after,
                body,
                dict(headers or {}),
                seconds,
                after,
                location,
                tuple(remove),
                carried_out,
            )
        )

    def clear_faults(self) -> None:
        """Let nothing fail any more."""
        self.faults.clear()

    # The journal

    @property
    def journal(self) -> list[JournalEntry]:
        """The requests so far, the oldest first."""
        return list(self._journal)

    def record(self, entry: JournalEntry) -> None:
        """
        Write into the journal.

        :param entry: the entry
        """
        self._journal.append(entry)

    def count(self, **wanted: Any) -> int:
        """
        Count requests.

        :param wanted: values that fields of :class:`JournalEntry` must have
        :return: how many entries have them all
        """
        return sum(
            all(getattr(entry, name) == value for name, value in wanted.items()) for entry in self.journal
        )


def _only_known(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"Unknown {what}: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
