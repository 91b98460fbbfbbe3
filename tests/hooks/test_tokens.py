"""An access token for whoever asks the hook: one connection look-up, one token request, however many ask."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from airflow_provider_lwa.amazon.errors import ConfigurationError, RefreshTokenRevoked
from airflow_provider_lwa.hooks.lwa import LwaHook
from airflow_provider_lwa.hooks.selling_partner import SellingPartnerHook

if TYPE_CHECKING:
    from tests.conftest import Seller

NOTIFICATIONS = ["sellingpartnerapi::notifications"]
ROTATION = ["sellingpartnerapi::client_credential:rotation"]


def test_making_a_hook_does_nothing(seller: Seller) -> None:
    """A DAG file is parsed all day: no look-up, no request, no file; not even the connection need exist."""
    hook = SellingPartnerHook(lwa_conn_id="lwa_nowhere")

    assert hook.lwa_conn_id == "lwa_nowhere"
    assert not seller.cache_dir.exists()
    assert seller.amazon.journal == []


def test_the_connection_is_looked_up_once(seller: Seller) -> None:
    """Each look-up is a request to Airflow's API server; one hook makes one."""
    hook = LwaHook()
    token = hook.get_access_token()
    seller.environment.delenv("AIRFLOW_CONN_LWA_DEFAULT")

    assert hook.get_access_token() == token
    assert hook.connection.conn_id == "lwa_default"


def test_reload_sees_an_edited_connection(seller: Seller) -> None:
    """For those who live long: the connection is read again, and the tokens stay shared."""
    hook = LwaHook()
    token = hook.get_access_token()
    seller.connect(owner="somebody else")

    hook.reload()

    assert hook.connection.owner == "somebody else"
    assert hook.get_access_token() == token
    assert seller.amazon.count(kind="token") == 1


def test_all_hooks_share_a_token(seller: Seller) -> None:
    """Whatever their class and connection id, it is the credential that counts."""
    seller.connect("lwa_same", owner="another connection of the same credential")

    tokens = {
        hook.get_access_token()
        for hook in (LwaHook(), LwaHook(), SellingPartnerHook(), LwaHook(lwa_conn_id="lwa_same"))
    }

    assert len(tokens) == 1
    assert seller.amazon.count(kind="token") == 1


def test_many_threads_make_one_request(seller: Seller) -> None:
    """A hook of its own for each, all at the same moment."""
    seller.amazon.latency["token"] = 0.2

    with ThreadPoolExecutor(32) as threads:
        tokens = set(threads.map(lambda _: LwaHook().get_access_token(), range(64)))

    assert len(tokens) == 1
    assert seller.amazon.count(kind="token") == 1


def test_processes_share_a_token_through_sealed_files(seller: Seller) -> None:
    """Tasks are processes; with a key and a folder the token outlives them, and lies nowhere in clear."""
    seller.configure(token_cache="file", cache_encryption_key=Fernet.generate_key().decode())
    token = LwaHook().get_access_token()
    program = (
        "import hashlib; from airflow_provider_lwa.hooks.lwa import LwaHook;"
        "print('digest', hashlib.sha256(LwaHook().get_access_token().encode()).hexdigest())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )

    assert f"digest {hashlib.sha256(token.encode()).hexdigest()}" in done.stdout
    assert seller.amazon.count(kind="token") == 1
    files = [path.read_bytes() for path in seller.cache_dir.rglob("*") if path.is_file()]
    assert files
    assert not [content for content in files if token.partition("|")[2].encode() in content]


def test_a_grantless_token_has_scopes(seller: Seller) -> None:
    """Some operations belong to the application alone; Amazon wants scopes then, and no refresh token."""
    token = LwaHook().get_access_token(NOTIFICATIONS)

    assert token.startswith("Atc|")
    assert [entry.grant_type for entry in seller.amazon.journal] == ["client_credentials"]


def test_tokens_of_different_scopes_do_not_push_each_other_out(seller: Seller) -> None:
    """Two scopes and the seller's own grant, by turns: three requests altogether."""
    for _ in range(5):
        for scopes in (NOTIFICATIONS, ROTATION, None):
            LwaHook().get_access_token(scopes)

    assert seller.amazon.count(kind="token") == 3


def test_the_order_of_scopes_does_not_matter(seller: Seller) -> None:
    """The same scopes are the same token."""
    hook = LwaHook()

    assert hook.get_access_token([*NOTIFICATIONS, *ROTATION]) == hook.get_access_token(
        [*ROTATION, *NOTIFICATIONS]
    )
    assert seller.amazon.count(kind="token") == 1


def test_a_token_that_cannot_live_long_enough_is_given_all_the_same(seller: Seller) -> None:
    """Asked for more than Amazon grants, the hook gives what there is, and does not ask again and again."""
    seller.amazon.token_lifetime = 300
    hook = LwaHook()

    tokens = {hook.get_access_token(min_ttl=wanted) for wanted in (None, 200, 1000, 1000)}

    assert len(tokens) == 1
    assert seller.amazon.count(kind="token") == 1


def test_a_token_can_be_thrown_away(seller: Seller) -> None:
    """By those who know that it is no good; everyone then gets another."""
    other = LwaHook()
    token = other.get_access_token()

    LwaHook().invalidate()

    assert other.get_access_token() != token
    assert seller.amazon.count(kind="token") == 2


def test_a_revoked_credential_costs_one_request(seller: Seller) -> None:
    """However many tasks ask: the refusal is remembered, and each hears when it was first met."""
    seller.amazon.revoke(seller.grant.refresh_token)
    errors = []

    for _ in range(10):
        with pytest.raises(RefreshTokenRevoked) as caught:
            LwaHook().get_access_token()
        errors.append(caught.value)

    assert seller.amazon.count(kind="token") == 1
    assert [error.remembered for error in errors] == [False] + [True] * 9
    assert len({error.first_seen for error in errors}) == 1
    assert {error.conn_id for error in errors} == {"lwa_default"}


def test_a_corrected_secret_is_tried_at_once(seller: Seller) -> None:
    """What is remembered of a wrong secret does not count for another."""
    seller.connect(password="amzn1.oa2-cs.v1.wrong")
    with pytest.raises(Exception, match="client id and secret were not accepted"):
        LwaHook().get_access_token()

    seller.connect()

    assert LwaHook().get_access_token().startswith("Atza|")


def test_numbers_of_the_configuration_reach_the_source(seller: Seller) -> None:
    """``[lwa]`` is read where tokens are shared."""
    seller.configure(negative_ttl="0", request_budget="1")
    seller.amazon.revoke(seller.grant.refresh_token)
    for _ in range(2):
        with pytest.raises(RefreshTokenRevoked):
            LwaHook().get_access_token()

    assert seller.amazon.count(kind="token") == 2


def test_a_configuration_that_cannot_be_used_is_named(seller: Seller) -> None:
    """With the connection, before anything is sent, and without retries."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    seller.configure(lock_wait="soon")

    with pytest.raises(ConfigurationError, match="lock_wait") as caught:
        LwaHook().get_access_token()
    assert isinstance(caught.value, AirflowFailException)
