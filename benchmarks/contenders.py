"""Each library as its users would hold it: one object, one call for a token. Only the endpoint is another.

This module runs inside the worker processes; the libraries are imported when their turn comes, since no
environment has them all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol

_AUTHORITY = "https://login.example/lwa"


@dataclass(frozen=True)
class Setup:
    """What a contender is given.

    :param url: address of the emulator
    :param client_id: the application's
    :param client_secret: the application's
    :param refresh_token: the seller's
    :param scope: what the application may ask for without a seller
    :param directory: where a contender that shares tokens by files may put them
    :param key: a Fernet key
    """

    url: str
    client_id: str
    client_secret: str
    refresh_token: str
    scope: str
    directory: str
    key: str

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.url}/auth/o2/token"


class Contender(Protocol):
    """A library. A token that lives ``LIFETIME`` seconds is renewed ``DUE`` seconds after it was got."""

    LIFETIME: ClassVar[int]
    DUE: ClassVar[float]

    def get(self) -> str:
        """A token, as the library's users get one."""


class Ours:
    """The project itself: what a hook does once it has read its connection."""

    LIFETIME, DUE = 20, 16.0  # the last quarter, spread by a fifth

    def __init__(self, setup: Setup) -> None:
        from airflow_provider_lwa.amazon import login
        from airflow_provider_lwa.amazon.http import Door
        from airflow_provider_lwa.tokens import Configuration, TokenSource, shared

        door = Door()
        self._request = login.request_for(
            login.Credential(
                setup.client_id, setup.client_secret, setup.refresh_token, token_url=setup.token_url
            )
        )
        self._source: TokenSource[login.TokenRequest] = shared(
            Configuration(store="file", directory=Path(setup.directory), keys=(setup.key,)),
            lambda request, budget: login.exchange(door, request, budget=budget),
        )

    def get(self) -> str:
        """See :class:`Contender`."""
        return self._source.get(self._request).value

    def download(self, url: str, target: str, encoding: str | None) -> None:
        """Fetch a document."""
        from airflow_provider_lwa.amazon.documents import DocumentLink, fetch

        fetch(lambda: DocumentLink(url, "a document", "GZIP"), target, encoding=encoding)


class GoogleAuth:
    """google-auth: ``before_request``, which puts a token into headers, renewing it if need be."""

    LIFETIME, DUE = 230, 5.0  # 225 s before the end

    def __init__(self, setup: Setup) -> None:
        from google.auth.transport.requests import Request
        from google.oauth2.credentials import Credentials

        self._credentials: Any = Credentials(
            None,
            refresh_token=setup.refresh_token,
            token_uri=setup.token_url,
            client_id=setup.client_id,
            client_secret=setup.client_secret,
        )
        self._transport = Request()

    def get(self) -> str:
        """See :class:`Contender`."""
        headers: dict[str, str] = {}
        self._credentials.before_request(self._transport, "GET", "https://api.example/", headers)
        return headers["authorization"]


class Msal:
    """msal: ``acquire_token_for_client``. It refreshes nothing without a person, so it asks with a scope."""

    LIFETIME, DUE = 305, 5.0  # 300 s before the end

    def __init__(self, setup: Setup, cache: Any = None) -> None:
        import msal

        self._scope = setup.scope
        self._application = msal.ConfidentialClientApplication(
            setup.client_id,
            client_credential=setup.client_secret,
            oidc_authority=_AUTHORITY,
            instance_discovery=False,
            token_cache=cache,
            http_client=_Discovered(setup.token_url),
        )

    def get(self) -> str:
        """See :class:`Contender`."""
        answer = self._application.acquire_token_for_client([self._scope])
        if "error" in answer:  # which msal returns and does not raise
            raise PermissionError(answer["error"])
        return str(answer["access_token"])


class _Discovered:
    """The transport that msal is given: it answers msal's discovery, and the rest goes to the emulator."""

    def __init__(self, token_url: str) -> None:
        import requests

        self._session = requests.Session()
        self._token_url = token_url

    def post(self, _url: str, **options: Any) -> Any:
        """Ask the endpoint; the address that msal knows has to be https."""
        return self._session.post(self._token_url, timeout=60, **options)

    def get(self, _url: str, **_options: Any) -> Any:
        """Say where the endpoint is."""
        import requests

        found = requests.Response()
        found.status_code = 200
        places = {
            "issuer": _AUTHORITY,
            "authorization_endpoint": "https://login.example/authorize",
            "token_endpoint": f"{_AUTHORITY}/token",
        }
        found._content = json.dumps(places).encode()  # noqa: SLF001 - because requests offers no other way to make one
        return found

    def close(self) -> None:
        """Hang up."""
        self._session.close()


class MsalExtensions(Msal):
    """msal with the file of msal-extensions, which it then keeps tokens in, in clear."""

    def __init__(self, setup: Setup) -> None:
        from msal_extensions import FilePersistence, PersistedTokenCache

        file = Path(setup.directory) / "msal.json"
        super().__init__(setup, PersistedTokenCache(FilePersistence(str(file))))


class Botocore:
    """botocore: its refreshable credentials around a function of ours that asks for a token."""

    LIFETIME, DUE = 905, 5.0  # 900 s before the end

    def __init__(self, setup: Setup) -> None:
        from botocore.credentials import DeferredRefreshableCredentials

        self._setup = setup
        self._credentials = DeferredRefreshableCredentials(self._fetch(), "lwa")

    def get(self) -> str:
        """See :class:`Contender`."""
        return str(self._credentials.get_frozen_credentials().token)

    def _fetch(self) -> Any:
        return lambda: _as_botocore(*_ask(self._setup))


class BotocoreFile(Botocore):
    """botocore with its JSONFileCache, which it keeps tokens in, in clear."""

    def _fetch(self) -> Any:
        from botocore.credentials import CachedCredentialFetcher
        from botocore.utils import JSONFileCache

        setup = self._setup

        class Fetcher(CachedCredentialFetcher):  # type: ignore[misc] # because botocore has no types
            def _create_cache_key(self) -> str:
                return "lwa"

            def _get_credentials(self) -> dict[str, Any]:
                found = _as_botocore(*_ask(setup))
                names = {"AccessKeyId": "access_key", "SecretAccessKey": "secret_key"}
                names |= {"SessionToken": "token", "Expiration": "expiry_time"}
                return {"Credentials": {theirs: found[ours] for theirs, ours in names.items()}}

        return Fetcher(JSONFileCache(working_dir=setup.directory)).fetch_credentials


def _ask(setup: Setup) -> tuple[str, float]:
    import requests

    form = {
        "grant_type": "refresh_token",
        "refresh_token": setup.refresh_token,
        "client_id": setup.client_id,
        "client_secret": setup.client_secret,
    }
    answer = requests.post(setup.token_url, data=form, timeout=60)
    answer.raise_for_status()
    return answer.json()["access_token"], answer.json()["expires_in"]


def _as_botocore(token: str, lifetime: float) -> dict[str, str]:
    expiry = (datetime.now(UTC) + timedelta(seconds=lifetime)).isoformat()
    return {"access_key": "-", "secret_key": "-", "token": token, "expiry_time": expiry}


class SpApi:
    """python-amazon-sp-api: the ``auth`` of a client."""

    LIFETIME, DUE = 3600, 5.0  # it renews by a constant of its own, whatever the token's life: here 5 s

    def __init__(self, setup: Setup) -> None:
        from sp_api.api import Reports
        from sp_api.auth import AccessTokenClient

        AccessTokenClient.scheme, AccessTokenClient.host = "http://", setup.url.removeprefix("http://")
        self._reports: Any = _at(Reports, setup.url)(
            credentials={
                "lwa_app_id": setup.client_id,
                "lwa_client_secret": setup.client_secret,
                "refresh_token": setup.refresh_token,
            }
        )

    def get(self) -> str:
        """See :class:`Contender`."""
        return str(self._reports.auth.access_token)

    def download(self, document_id: str, target: str, *, stream: bool) -> None:
        """Fetch a document."""
        self._reports.get_report_document(document_id, file=target, stream=stream, timeout=60)


def _at(kind: Any, url: str) -> Any:
    """A client of the emulator's: sp-api takes its Host header out of an https address."""

    class There(kind):  # type: ignore[misc] # because the library has no types
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.endpoint = url

        @property
        def headers(self) -> dict[str, str]:
            return {**super().headers, "host": url.removeprefix("http://")}

    return There


class AmznSpApi:
    """amzn-sp-api, Amazon's own."""

    LIFETIME, DUE = 35, 5.0  # 30 s before the end

    def __init__(self, setup: Setup) -> None:
        from spapi.auth.lwa_request import AccessTokenCache

        self._cache = AccessTokenCache(
            setup.client_id, setup.client_secret, setup.refresh_token, oauth_endpoint=setup.token_url
        )

    def get(self) -> str:
        """See :class:`Contender`."""
        return str(self._cache.get_lwa_access_token())


#: By the name on the page: the class, the distribution, and whether it is another one with a file added.
CONTENDERS: dict[str, tuple[Any, str, bool]] = {
    "airflow-provider-lwa": (Ours, "airflow-provider-lwa", False),
    "google-auth": (GoogleAuth, "google-auth", False),
    "msal": (Msal, "msal", False),
    "msal + extensions' file": (MsalExtensions, "msal-extensions", True),
    "botocore": (Botocore, "botocore", False),
    "botocore + JSONFileCache": (BotocoreFile, "botocore", True),
    "python-amazon-sp-api": (SpApi, "python-amazon-sp-api", False),
    "amzn-sp-api": (AmznSpApi, "amzn-sp-api", False),
}
OURS = "airflow-provider-lwa"
