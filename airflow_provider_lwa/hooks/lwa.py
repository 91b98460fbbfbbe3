"""The hook for any API behind Login with Amazon: tokens, an authenticated session, a check."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_lwa import _airflow
from airflow_provider_lwa import connection as connections
from airflow_provider_lwa.amazon import api, login, selling_partner
from airflow_provider_lwa.amazon.errors import ConfigurationError, LwaError
from airflow_provider_lwa.get_provider_info import CONNECTION_FIELDS, UI_FIELD_BEHAVIOUR
from airflow_provider_lwa.health import verdict
from airflow_provider_lwa.health.standing import Standing, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import requests

    from airflow_provider_lwa.amazon.profiles import Probe
    from airflow_provider_lwa.amazon.session import ApiSession
    from airflow_provider_lwa.connection import LwaConnection
    from airflow_provider_lwa.health.verdict import Layer, Observation
    from airflow_provider_lwa.tokens import Token, TokenSource

#: How each family of APIs writes headers and refusals; the others do it in the common way.
_RULES: dict[str, Any] = {"selling_partner": selling_partner}
_CHECK_BUDGET = 15.0


class LwaHook(BaseHook):
    """Access tokens of one connection, shared by all tasks that use the same credential.

    Making a hook costs nothing; the connection is read at first use and once.

    .. code-block:: python

        token = LwaHook(lwa_conn_id="lwa_default").get_access_token()

    :param lwa_conn_id: Airflow connection of type ``lwa``
    :param mask_tokens: have Airflow hide each token in logs; not for processes that live for weeks, where
        masks pile up
    """

    conn_name_attr = "lwa_conn_id"
    default_conn_name = "lwa_default"
    conn_type = "lwa"
    hook_name = "Login with Amazon"

    def __init__(
        self, lwa_conn_id: str = default_conn_name, *, mask_tokens: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.lwa_conn_id = lwa_conn_id
        self.mask_tokens = mask_tokens
        self._requests: dict[tuple[str, ...], login.TokenRequest] = {}
        self._masked = ""

    def __repr__(self) -> str:
        """The connection's id; nothing of what is in it."""
        return f"{type(self).__name__}(lwa_conn_id={self.lwa_conn_id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without what was read: no secret leaves the process with a hook."""
        return (functools.partial(type(self), mask_tokens=self.mask_tokens), (self.lwa_conn_id,))

    @functools.cached_property
    def settings(self) -> _airflow.Settings:
        """The ``[lwa]`` section of Airflow's configuration."""
        return _airflow.Settings.read()

    @functools.cached_property
    def connection(self) -> LwaConnection:
        """The checked connection.

        :raises ConfigurationError: naming every problem of it at once
        """
        with _airflow.airflow_errors(self.lwa_conn_id):
            return self._load()

    def _load(self) -> LwaConnection:
        return connections.load(self.lwa_conn_id, self.settings)

    def reload(self) -> None:
        """Forget the connection as it was read, so that an edit is seen; tokens stay shared."""
        for name in ("connection", "settings", "_source"):
            self.__dict__.pop(name, None)
        self._requests = {}

    @property
    def api_url(self) -> str:
        """Address of the connection's API, without a slash at its end; empty where the API has none."""
        return self.connection.endpoints.api_url

    def get_access_token(self, scopes: Sequence[str] | None = None, *, min_ttl: float | None = None) -> str:
        """Give a valid access token: from memory, from the other tasks of this host, or new from Amazon.

        Airflow masks it in the logs of this task. It is good for about an hour; ask again rather than keep
        it.

        :param scopes: for a grantless call, such as ``["sellingpartnerapi::notifications"]``; by default the
            connection's own grant
        :param min_ttl: seconds the token must still be valid
        :raises ConfigurationError: the connection cannot be used as it is
        :raises CredentialError: Amazon refuses it for good; fails the task without retries
        :raises TransientError: Amazon did not give one now; a retry may
        """
        return self._token(scopes, min_ttl).value

    def _token(self, scopes: Sequence[str] | None = None, min_ttl: float | None = None) -> Token:
        with _airflow.airflow_errors(self.lwa_conn_id):
            token = self._source.get(self._request(scopes), min_ttl=min_ttl)
        if self.mask_tokens and token.generation != self._masked:
            connections.mask(token.value)
            self._masked = token.generation
        return token

    def _request(self, scopes: Sequence[str] | None = None) -> login.TokenRequest:
        """What Amazon is asked; the same object each time, by which the source finds the token fastest."""
        wanted = tuple(scopes or ())
        if wanted not in self._requests:
            self._requests[wanted] = login.request_for(self.connection.credential, wanted)
        return self._requests[wanted]

    @functools.cached_property
    def _source(self) -> TokenSource[login.TokenRequest]:
        return _airflow.token_source(self.settings)

    def invalidate(self) -> None:
        """Throw the shared access token away, so that the next caller asks Amazon."""
        self._source.forget(self._request())

    def get_conn(self) -> ApiSession:
        """The same as :meth:`session`."""
        return self.session()

    def session(self, *, budget: float = 120.0) -> ApiSession:
        """A ``requests.Session`` for the connection's API, for your own code or a library to ride on.

        Paths are relative to the API's address. It adds the token and Amazon's headers, renews the token,
        waits when throttled and repeats what is safe to repeat; to other hosts it sends no token.

        :param budget: seconds that waiting and repeating may take together for one call
        :raises ConfigurationError: if the connection's API has no address of its own
        """
        from airflow_provider_lwa.amazon.session import ApiSession  # noqa: PLC0415 - because it loads requests

        profile = self.connection.profile
        with _airflow.airflow_errors(self.lwa_conn_id):
            if not self.api_url:
                problem = f"{profile.label} has no address of its own: use get_access_token() and requests."
                raise ConfigurationError(problem)
            agent = api.user_agent(self.settings.user_agent_application)
        rules = _RULES.get(profile.family, api)
        return ApiSession(
            base_url=self.api_url,
            token=self._token,
            reject=lambda generation: self._source.invalidate(self._request(), generation),
            judge=rules.error_of,
            headers=lambda: rules.headers(datetime.now(UTC), agent),
            token_header=profile.token_header,
            token_prefix=profile.token_prefix,
            budget=budget,
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        budget: float = 120.0,
    ) -> requests.Response:
        """Make one call to the connection's API.

        :param method: HTTP method
        :param path: path below the API's address
        :param params: query
        :param json: body, sent as JSON
        :param data: body, sent as it is
        :param headers: additional headers
        :param budget: seconds that waiting and repeating may take together
        :return: a successful answer
        :raises ApiError: Amazon refused the call; the class says why
        :raises CredentialError: the credential does not work
        :raises TransientError: no usable answer
        """
        import requests  # noqa: PLC0415 - because it is needed only when a request is really made

        from airflow_provider_lwa.amazon.http import translate  # noqa: PLC0415 - because it loads requests

        with _airflow.airflow_errors(self.lwa_conn_id):
            session = self.session(budget=budget)
            try:
                response = session.request(
                    method, path, params=params, json=json, data=data, headers=dict(headers or {})
                )
            except requests.RequestException as error:
                translate(error, self.connection.profile.label)
            refusal = session.error_of(response, f"{method} {path}")
            if refusal is not None:
                raise refusal
            return response

    def check(self, *, api: bool = True, retired: bool = True) -> Observation:
        """Find out whether the credential works: the connection, then Amazon past the cache, then the API.

        A token that is got on the way is shared, so a check costs no extra one. Nothing is raised for a
        credential that does not work or cannot be read; the answer says what was seen.

        :param api: also make the API's cheap read-only call, where it has one
        :param retired: also ask Amazon about a connection that is out of service
        :return: what was seen
        """
        self.reload()
        layer: Layer = "local"
        try:
            probe = self._read_for_check()
            asked = retired or not self.connection.retired
            if asked:
                layer = "token"
                self._source.refresh(self._request())
            if asked and api and probe:
                layer = "api"
                budget = min(_CHECK_BUDGET, self.settings.request_budget)
                self.call(probe.method, probe.path, budget=budget)
        except LwaError as error:
            return verdict.Observation.of_error(
                error.with_connection(self.lwa_conn_id), at=time.time(), layer=layer, **self._known()
            )
        except _Unreadable as error:
            return verdict.Observation.unreadable(self.lwa_conn_id, at=time.time(), reason=str(error))
        return verdict.Observation.healthy(self.lwa_conn_id, at=time.time(), layer=layer, **self._known())

    def _read_for_check(self) -> Probe | None:
        """Read the connection; a grantless one has no account whose data a probe could ask for."""
        try:
            known = self.connection
        except LwaError:
            raise
        except AirflowNotFoundException as error:
            raise _Unreadable(str(error)) from None
        except Exception as error:  # noqa: BLE001 - because secrets backends raise, and quote, whatever they like
            raise _Unreadable(type(error).__name__) from None
        return known.profile.probe if known.credential.refresh_token else None

    def _known(self) -> dict[str, Any]:
        known = self.__dict__.get("connection")
        if known is None:
            return {}
        return {
            "client_id": known.credential.client_id,
            "api": known.profile.name,
            "region": known.region,
            "owner": known.owner,
            "standing": _standing(known),
        }

    def test_connection(self) -> tuple[bool, str]:
        """Answer Airflow's Test button, in one line without secrets."""
        seen = self.check()
        return seen.is_healthy, verdict.line(seen)

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The form's fields for Airflow before 3.2, made from the same table as the form of later ones."""
        # Only Airflow's old web server has these three.
        from flask_appbuilder.fieldwidgets import (  # type: ignore[import-not-found]  # noqa: PLC0415 - see above
            BS3PasswordFieldWidget,
            BS3TextFieldWidget,
        )
        from flask_babel import lazy_gettext  # type: ignore[import-not-found]  # noqa: PLC0415 - see above
        from wtforms import (  # type: ignore[import-untyped]  # noqa: PLC0415 - see above
            BooleanField,
            PasswordField,
            StringField,
            validators,
        )

        def widget(name: str) -> Any:
            table = CONNECTION_FIELDS[name]
            label, described, schema = (
                lazy_gettext(table["label"]),
                _choices(table),
                table["schema"],
            )
            if schema.get("format") == "password":
                return PasswordField(label, description=described, widget=BS3PasswordFieldWidget())
            if "boolean" in schema["type"]:
                return BooleanField(label, description=described)
            checks = [validators.Optional()]
            if "enum" in schema:
                checks.append(validators.any_of(schema["enum"]))
            return StringField(label, description=described, widget=BS3TextFieldWidget(), validators=checks)

        return {name: widget(name) for name in CONNECTION_FIELDS}

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """What the form shows and how it names it, for Airflow before 3.2."""
        return {name.replace("-", "_"): value for name, value in UI_FIELD_BEHAVIOUR.items()}


def _standing(connection: LwaConnection) -> Standing:
    """Say what the connection tells those who alert: silence, dates, fingerprints, hosts; no secret.

    Only the authorization of a public application runs out; a private one has no consent page, and so no
    application id in its connection.
    """
    credential = connection.credential
    public = bool(connection.application_id or connection.authorized_on)
    urls = (connection.endpoints.token_url, connection.endpoints.api_url)
    return Standing(
        retired=connection.retired,
        muted_until=_seconds(connection.alerts_muted_until),
        authorized_on=_seconds(connection.authorized_on),
        rotated_on=_seconds(connection.app_credentials_rotated_on),
        grant_print=fingerprint(credential.refresh_token or "", credential.client_id) if public else None,
        client_print=fingerprint(credential.client_secret, credential.client_id),
        runs_out=connection.profile.family == "selling_partner",
        hosts=tuple(urlsplit(url).netloc for url in urls if url),
    )


def _seconds(day: date | None) -> float | None:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() if day else None


class _Unreadable(Exception):
    """The connection could not be read at all."""


def _choices(table: dict[str, Any]) -> str:
    values = table["schema"].get("enum")
    return f"{table['description']} One of: {', '.join(values)}." if values else str(table["description"])
