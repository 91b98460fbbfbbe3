"""Who may do what: applications and their secrets, the consent of selling partners, codes and tokens."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Literal

#: The parts of the Selling Partner API that an application may be given. Amazon cuts its roles finer than the
#: emulator does.
ROLES = frozenset({"applications", "notifications", "reports", "sellers", "tokens"})

#: Scopes for the client-credentials grant.
SCOPES = frozenset(
    {
        "sellingpartnerapi::notifications",
        "sellingpartnerapi::client_credential:rotation",
        "appstore::apps:readwrite",
        "adx_reporting::appstore:marketer",
    }
)

#: What becomes of an outdated client secret: either Login with Amazon refuses it, or it still answers with a
#: token and the API then refuses every call. Both have been reported.
Afterwards = Literal["lwa_refuses", "api_refuses"]


@dataclass
class Secret:
    """
    One client secret of an application.

    :param value: the secret
    :param expires_at: when it stops working; ``None`` for never
    :param afterwards: what then becomes of it
    """

    value: str = field(repr=False)
    expires_at: float | None = None
    afterwards: Afterwards = "lwa_refuses"

    def expired(self, now: float) -> bool:
        """
        Say whether the secret has had its time.

        :param now: the time
        :return: ``True`` once it has expired
        """
        return self.expires_at is not None and now >= self.expires_at


@dataclass
class Application:
    """
    One application, as Amazon knows it.

    :param client_id: its client id
    :param secrets: its client secrets, the newest last
    :param roles: what of the API it may call; see :data:`ROLES`
    :param scopes: what it may ask for with client credentials
    """

    client_id: str
    secrets: list[Secret] = field(repr=False)
    roles: frozenset[str] = ROLES
    scopes: set[str] = field(default_factory=lambda: set(SCOPES))

    @property
    def client_secret(self) -> str:
        """The newest client secret."""
        return self.secrets[-1].value


@dataclass
class Grant:
    """
    One selling partner's consent to one application.

    :param client_id: the application
    :param refresh_token: the token that stands for the consent
    :param selling_partner_id: who consented
    :param region: where; authorizations are regional
    :param marketplace_ids: where the selling partner trades
    :param store_name: what the store is called
    :param revoked: whether the consent was withdrawn
    """

    client_id: str
    refresh_token: str = field(repr=False)
    selling_partner_id: str
    region: str
    marketplace_ids: tuple[str, ...]
    store_name: str
    revoked: bool = False

    @property
    def credential(self) -> str:
        """The fingerprint by which the journal names the refresh token."""
        return fingerprint(self.refresh_token)


@dataclass
class Code:
    """
    An authorization code: lives five minutes, works once.

    :param grant: what it will be exchanged for
    :param redirect_uri: the redirect URI of the consent; ``None`` to accept any
    :param expires_at: when it ends
    :param used: whether it was exchanged
    """

    grant: Grant
    redirect_uri: str | None
    expires_at: float
    used: bool = False


@dataclass
class AccessToken:
    """
    What an access token or a restricted data token allows.

    :param application: the application it was issued to
    :param grant: the selling partner it acts for; ``None`` for client credentials
    :param scopes: what it may do without a selling partner
    :param secret: the client secret it was obtained with
    :param expires_at: when it ends
    :param resources: the (method, path) pairs of a restricted data token; ``None`` for an access token
    :param killed: whether it was ended before its time
    """

    application: Application
    grant: Grant | None
    scopes: frozenset[str]
    secret: Secret
    expires_at: float
    resources: tuple[tuple[str, str], ...] | None = None
    killed: bool = False


def fingerprint(token: str) -> str:
    """
    Name a token without telling it.

    :param token: the token
    :return: the first twelve hexadecimal digits of its SHA-256
    """
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def new_access_token(prefix: str) -> str:
    """
    Make a token as long as Amazon's.

    :param prefix: ``Atza``, ``Atzr``, ``Atc`` or ``Atz.sprdt``
    :return: the token, 353 characters for the four-letter prefixes
    """
    return f"{prefix}|IwEBI{secrets.token_urlsafe(258)[:343]}"


def new_client_secret() -> str:
    """
    Make a client secret that looks like Amazon's.

    :return: the secret
    """
    return f"amzn1.oa2-cs.v1.{secrets.token_hex(32)}"
