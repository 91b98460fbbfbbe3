"""The page "Amazon credentials" in Airflow's own web server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from airflow_provider_lwa.plugins.credentials import LwaPlugin

if TYPE_CHECKING:
    from tests.plugins.conftest import Web

PAGE, DATA = "/lwa/credentials", "/lwa/credentials.json"


def test_the_plugin_loads_everywhere() -> None:
    """On every supported Airflow it is a plugin with a name; pages are for those that can show them."""
    plugin = LwaPlugin()
    plugin.validate()  # type: ignore[no-untyped-call]  # because Airflow's base class is not typed

    assert plugin.name == "lwa"
    assert len(plugin.fastapi_apps) == len(plugin.external_views)


@pytest.mark.airflow(since="3.1")
@pytest.mark.filterwarnings("default")  # Airflow's own; they are not ours to mend
class TestPage:
    """With a login and without."""

    def test_airflow_knows_it(self, web: Web) -> None:
        """The menu has an entry that leads to the page, below whatever path Airflow lives."""
        plugins = web.get("/api/v2/plugins", "admin").json()["plugins"]
        (ours,) = [plugin for plugin in plugins if plugin["name"] == "lwa"]
        (view,) = ours["external_views"]

        assert (view["name"], view["url_route"]) == ("Amazon credentials", "lwa-credentials")
        assert web.get(f"/{view['href']}", "admin").status_code == 200

    @pytest.mark.parametrize("path", [PAGE, DATA])
    def test_a_stranger_sees_nothing(self, web: Web, path: str) -> None:
        """Without a login there is nothing to see, nor with an invented one."""
        web.write("watching", web.seen(lwa_acme=True))

        assert web.get(path, None).status_code == 401
        answer = web.client.get(path, headers={"Authorization": "Bearer invented"})
        assert answer.status_code in {401, 403}
        assert "lwa_acme" not in answer.text

    @pytest.mark.parametrize("path", [PAGE, DATA])
    def test_rows_are_for_those_who_may_read_the_connection(self, web: Web, path: str) -> None:
        """A viewer may not read connections, so sees none, nor which monitors there are."""
        web.write("watching", web.seen(lwa_acme=True, lwa_other=False))

        viewer, operator = web.get(path, "viewer"), web.get(path, "op")

        assert (viewer.status_code, operator.status_code) == (200, 200)
        assert "lwa_acme" not in viewer.text
        assert "watching" not in viewer.text
        assert "lwa_acme" in operator.text
        assert "lwa_other" in operator.text

    def test_it_says_what_is_wrong_and_what_to_do(self, web: Web) -> None:
        """State, reason, remedy, since when, last good and last looked at; the worst first."""
        web.write("watching", web.seen(lwa_acme=True, lwa_aaa=False))
        html = web.get(PAGE, "op").text

        for words in (
            "authorization revoked",
            "The grant was withdrawn",
            "r-1",
            "Ask the account&#39;s owner to authorize the application",
            "2025-11-21 04:40 UTC",
            "selling_partner, growth",
            "never",
            "watching looked last at",
        ):
            assert words in html
        assert html.index("lwa_acme") < html.index("lwa_aaa")

    def test_the_same_as_json(self, web: Web) -> None:
        """For programs."""
        web.write("watching", web.seen(lwa_acme=True, lwa_other=False))
        data = web.get(DATA, "op").json()

        assert [(row["conn_id"], row["state"], row["monitor"]) for row in data["credentials"]] == [
            ("lwa_acme", "broken", "watching"),
            ("lwa_other", "healthy", "watching"),
        ]
        assert data["monitors"] == [{"dag_id": "watching", "at": 1_763_700_001.0, "unreadable": False}]

    def test_of_two_monitors_the_later_look_counts(self, web: Web) -> None:
        """A credential has one row."""
        web.write("first", web.seen(at=1_763_800_000.0, lwa_acme=False))
        web.write("second", web.seen(at=1_763_700_000.0, lwa_acme=True))

        (row,) = web.get(DATA, "op").json()["credentials"]
        assert (row["state"], row["monitor"]) == ("healthy", "first")

    @pytest.mark.parametrize("junk", ["", "{", "[]", '{"version": 99}'])
    def test_a_damaged_memory_is_not_health(self, web: Web, junk: str) -> None:
        """The page stays up and invents nothing."""
        web.write("damaged", junk or " ")
        web.write("watching", web.seen(lwa_acme=True))

        assert [row["conn_id"] for row in web.get(DATA, "op").json()["credentials"]] == ["lwa_acme"]
        assert web.get(PAGE, "op").status_code == 200

    def test_where_there_is_no_monitor_it_says_how_to_add_one(self, web: Web) -> None:
        """The first visit is not a dead end."""
        assert "lwa_credential_monitor(conn_ids=" in web.get(PAGE, "op").text

    def test_foreign_words_are_text(self, web: Web) -> None:
        """Amazon's words cannot become part of the page, and what does not belong to it may not run."""
        web.write("watching", web.seen(description="<script>alert(1)</script>", lwa_acme=True))
        answer = web.get(PAGE, "op")

        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert" in answer.text
        policy = answer.headers["content-security-policy"]
        (nonce,) = re.findall(r"script-src 'nonce-([\w-]+)'", policy)
        assert answer.text.count(f'nonce="{nonce}"') == 2
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert nonce not in web.get(PAGE, "op").text

    def test_it_is_neither_kept_nor_framed_elsewhere(self, web: Web) -> None:
        """What it shows stays between Airflow and the visitor."""
        for path in (PAGE, DATA):
            headers = web.get(path, "op").headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self'" in web.get(PAGE, "op").headers["content-security-policy"]

    @pytest.mark.parametrize("path", ["/lwa/docs", "/lwa/openapi.json", "/lwa/redoc"])
    def test_it_does_not_describe_itself_to_strangers(self, web: Web, path: str) -> None:
        """There is nothing else under the prefix."""
        assert web.get(path, None).status_code == 404
