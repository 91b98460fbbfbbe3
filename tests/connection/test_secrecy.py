"""A connection tells its secrets to Amazon and to nobody else."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lwa import _airflow, connection
from airflow_provider_lwa.amazon.errors import ConfigurationError
from airflow_provider_lwa.get_provider_info import CONNECTION_FIELDS
from airflow_provider_lwa.hooks.lwa import LwaHook
from airflow_provider_lwa.hooks.selling_partner import SellingPartnerHook

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Seller

CLIENT_SECRET = "amzn1.oa2-cs.v1.canary0secret0canary"
REFRESH_TOKEN = "Atzr|IwEBIcanary0token0canary"
PATH = "/sellers/v1/marketplaceParticipations"
CANARIES = ("canary0secret0canary", "canary0token0canary")
GOOD: dict[str, Any] = {
    "conn_id": "lwa_default",
    "conn_type": "lwa",
    "login": "amzn1.application-oa2-client.0c1d",
    "password": CLIENT_SECRET,
    "refresh_token": REFRESH_TOKEN,
    "region": "europe",
    "marketplace_ids": ["A1PA6795UKMFR9"],
}
JUNK = st.one_of(
    st.none(),
    st.just(""),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.text(max_size=40),
    st.lists(st.one_of(st.text(max_size=8), st.none(), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)
TEXT_OR_NOTHING = st.one_of(st.none(), st.text(max_size=40))


def stored(fields: dict[str, Any]) -> connection.Fields:
    """Make what Airflow hands over."""
    fields = {**fields}
    standard = {name: fields.pop(name, None) for name in ("conn_id", "conn_type", "login", "password")}
    return connection.Fields.of(SimpleNamespace(**standard, extra=fields))  # type: ignore[arg-type] # because it is only like one


@given(
    extra=st.dictionaries(st.sampled_from([*CONNECTION_FIELDS, "other"]), JUNK),
    standard=st.dictionaries(st.sampled_from(["conn_type", "login", "password"]), TEXT_OR_NOTHING),
    application=st.none()
    | st.dictionaries(st.sampled_from(["conn_type", "login", "app_conn_id"]), TEXT_OR_NOTHING),
)
def test_whatever_is_in_the_fields_is_read_or_refused(
    extra: dict[str, Any], standard: dict[str, Any], application: dict[str, Any] | None
) -> None:
    """Any junk in any field is at worst a ``ConfigurationError``, which tells no secret."""
    settings = _airflow.Settings.read()
    shared = None if application is None else stored({**GOOD, "conn_id": "lwa_app", **application})

    try:
        read = connection.check(stored({**GOOD, **extra, **standard}), shared, settings)
    except ConfigurationError as error:
        told = f"{error} {error!r} {error.problems} {error.args} {pickle.dumps(error)!r}"
    else:
        told = f"{read} {read!r}"
    assert told
    assert not [canary for canary in CANARIES if canary in told]


def test_the_connection_as_text_holds_no_secret() -> None:
    """In a log, an assertion or a debugger, the secrets are left out, and so is the raw material."""
    fields = stored(GOOD)
    read = connection.check(fields, None, _airflow.Settings.read())

    told = f"{fields!r} {read!r} {read} {read.credential!r} {vars(SimpleNamespace(read=read))}"

    assert "amzn1.application-oa2-client.0c1d" in told
    assert not [canary for canary in CANARIES if canary in told]


def test_a_hook_travels_without_what_it_has_read(seller: Seller) -> None:
    """Pickled or copied, a hook is its connection id; what it knows stays in the process."""
    hook = LwaHook()
    token = hook.get_access_token()
    secrets = [seller.application.client_secret, seller.grant.refresh_token, token]

    pickled = pickle.dumps(hook)
    told = f"{pickled!r} {hook!r} {hook}"

    assert not [secret for secret in secrets if secret.rpartition("|")[2] in told]
    assert pickle.loads(pickled).lwa_conn_id == copy.deepcopy(hook).lwa_conn_id == "lwa_default"  # noqa: S301 - because it is our own
    assert pickle.loads(pickled).get_access_token() == token  # noqa: S301 - because it is our own
    assert repr(hook) == "LwaHook(lwa_conn_id='lwa_default')"


def test_airflow_hides_the_secrets_in_every_form(seller: Seller) -> None:
    """Airflow masks a secret as it is; URL-encoded, or only what follows the bar, it has to be told."""
    from urllib.parse import quote

    from airflow.providers.common.compat.sdk import redact

    token = LwaHook().get_access_token()
    secrets = [seller.application.client_secret, seller.grant.refresh_token, token]

    for secret in secrets:
        for form in (secret, quote(secret, safe=""), secret.partition("|")[2] or secret):
            assert form not in str(redact(f"before {form} after"))


def test_a_token_is_masked_once(seller: Seller, forget_masks: Callable[[], None]) -> None:
    """Asking for the same token again does not tell Airflow again, which costs a message each time."""
    from airflow.providers.common.compat.sdk import redact

    hook = LwaHook()
    token = hook.get_access_token()
    forget_masks()

    assert hook.get_access_token() == token
    assert redact(token) == token


def test_a_token_that_a_session_carries_is_masked_once(
    seller: Seller, forget_masks: Callable[[], None]
) -> None:
    """The task may log the headers it sent; the next call with the same token tells Airflow nothing new."""
    from airflow.providers.common.compat.sdk import redact

    hook = LwaHook()
    hook.call("GET", PATH)
    (token,) = seller.amazon.tokens
    assert redact(f"sent {token}") == "sent ***"
    forget_masks()

    hook.session().get(PATH)

    assert redact(token) == token


def test_a_renewed_token_is_masked_too(seller: Seller) -> None:
    """Each of them, however it came."""
    from airflow.providers.common.compat.sdk import redact

    hook = LwaHook()
    for _ in range(2):
        hook.call("GET", PATH)
        seller.amazon.clock.advance(3601)

    assert len(seller.amazon.tokens) == 2
    assert [redact(token) for token in seller.amazon.tokens] == ["***"] * 2


def test_masking_can_be_left_out(seller: Seller) -> None:
    """For those who live long: Airflow never forgets a mask. The choice travels with the hook."""
    from airflow.providers.common.compat.sdk import redact

    hook = SellingPartnerHook("lwa_default", mask_tokens=False)
    for each in (hook, pickle.loads(pickle.dumps(hook)), copy.deepcopy(hook)):  # noqa: S301 - because it is our own
        token = each.get_access_token()
        each.call("GET", PATH)
        assert redact(token) == token
    assert redact(seller.grant.refresh_token) == "***"

    pickle.loads(pickle.dumps(LwaHook())).get_access_token()  # noqa: S301 - because it is our own
    assert redact(token) == "***"
