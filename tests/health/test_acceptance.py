"""The acceptance list of credential health: what goes in, and what people hear of it, on a frozen clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_lwa.amazon import selling_partner
from airflow_provider_lwa.amazon.errors import ConfigurationError, LwaError, ScopeNotGranted
from airflow_provider_lwa.amazon.http import Answer, translate
from airflow_provider_lwa.amazon.login import Credential, judge, request_for
from airflow_provider_lwa.health.incidents import read
from airflow_provider_lwa.health.reports import Report
from airflow_provider_lwa.health.standing import Standing, fingerprint
from airflow_provider_lwa.health.wording import message
from airflow_provider_lwa.hooks.lwa import LwaHook

if TYPE_CHECKING:
    from airflow_provider_lwa.health.incidents import Notification
    from airflow_provider_lwa.health.verdict import Observation
    from tests.conftest import Seller
    from tests.health.conftest import Watch

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
OTHER = "amzn1.application-oa2-client.other"
REFRESH_TOKEN = "Atzr|IwEBIJtHqY8kQ2v0"
CLIENT_SECRET = "amzn1.oa2-cs.v1.0c9dfeedbeef"
CREDENTIAL = Credential("amzn1.application-oa2-client.a", CLIENT_SECRET, REFRESH_TOKEN)
SAME = Standing(hosts=("api.amazon.com", "sellingpartnerapi-eu.amazon.com"))


def said(
    status: int, body: Any, *, scopes: tuple[str, ...] = (), request_id: str = "r-1", **headers: str
) -> LwaError:
    """:return: what the client makes of an answer of the token endpoint"""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Answer(status, {"x-amzn-requestid": request_id, **headers}, content, 0.0)
    with pytest.raises(LwaError) as caught:
        judge(request_for(CREDENTIAL, scopes), answer)
    return caught.value


def refused(code: str, status: int = 400, **options: Any) -> LwaError:
    """:return: a refusal with this code"""
    return said(status, {"error": code, "error_description": f"about {code}"}, **options)


def unavailable(status: int = 503) -> LwaError:
    """:return: an answer of a server that is down"""
    return said(status, b"<html>Service Unavailable</html>")


REVOKED, REJECTED = refused("invalid_grant"), refused("invalid_client", 401)
DOWN = unavailable()


def names(number: int) -> list[str]:
    """:return: this many names of connections"""
    return [f"s{n:03}" for n in range(number)]


def failing(number: int, of: int, sight: LwaError) -> dict[str, LwaError | None]:
    """:return: what is seen if the first few of them fail"""
    return {name: sight if n < number else None for n, name in enumerate(names(of))}


def meets(watch: Watch, kind: str = "revoked", **facts: Any) -> Report:
    """:return: a report of a task that failed just before the next look, an hour from now"""
    facts = {"at": watch.now + HOUR - MINUTE, "dag_id": "orders", "task_id": "pull", **facts}
    return Report(conn_id="a", kind=kind, **facts)


class TestOneCredential:
    """A credential that breaks and is mended."""

    def test_healthy_ones_are_silent(self, watch: Watch) -> None:
        """Three that work are no news in five cycles."""
        assert [watch.hear({"a": None, "b": None, "c": None}) for _ in range(5)] == [[]] * 5

    def test_a_revoked_one_fires_once(self, watch: Watch) -> None:
        """One of three is revoked: told once in four cycles."""
        heard = [watch.hear({"a": None, "b": REVOKED, "c": None}) for _ in range(4)]

        assert heard == [[("firing", "cred/b")], [], [], []]

    def test_its_health_resolves_it_once(self, watch: Watch) -> None:
        """Two successes after a revocation are one end."""
        heard = [watch.hear({"a": sight}) for sight in (REVOKED, None, None)]

        assert heard == [[("firing", "cred/a")], [("resolved", "cred/a")], []]

    def test_it_is_repeated_every_day(self, watch: Watch) -> None:
        """Fifty hours revoked: told, and brought to mind after 24 and 48."""
        heard = [watch.hear({"a": REVOKED}) for _ in range(50)]

        told = {hour: phase for hour, each in enumerate(heard) for phase, _ in each}
        assert told == {0: "firing", 24: "reminder", 48: "reminder"}

    def test_another_class_updates_it(self, watch: Watch) -> None:
        """Revoked and then unauthorized is an update under the same key."""
        (firing,) = watch.look({"a": REVOKED})
        (update,) = watch.look({"a": refused("unauthorized_client")})

        assert (update.phase, update.key, update.before) == ("update", firing.key, "revoked")

    def test_an_outage_changes_nothing_about_it(self, watch: Watch) -> None:
        """Revoked, four cycles without an answer, revoked again: no news and no end."""
        watch.look({"a": REVOKED})

        assert [watch.hear({"a": sight}) for sight in (DOWN, DOWN, DOWN, DOWN, REVOKED)] == [[]] * 5

    def test_an_unauthorized_client_fires_as_that(self, watch: Watch) -> None:
        """``unauthorized_client`` is a class of its own."""
        (firing,) = watch.look({"a": refused("unauthorized_client")})

        assert (firing.phase, firing.kind) == ("firing", "client_unauthorized")

    def test_a_grantless_scope_that_is_not_granted_fires(self, watch: Watch) -> None:
        """``invalid_scope`` on a client-credentials call."""
        error = refused("invalid_scope", scopes=("sellingpartnerapi::notifications",))
        (firing,) = watch.look({"a": error})

        assert isinstance(error, ScopeNotGranted)
        assert (firing.phase, firing.kind) == ("firing", "scope_denied")

    def test_flipping_is_told_at_most_eight_times(self, watch: Watch) -> None:
        """Twenty changes, one each half hour."""
        heard: list[Notification] = []
        for turn in range(20):
            heard += watch.look({"a": None if turn % 2 else REVOKED}, after=30 * MINUTE)

        assert 0 < len(heard) <= 8

    def test_what_was_not_looked_at_keeps_its_state(self, watch: Watch) -> None:
        """A cycle that looks at the first of three says nothing about the others."""
        watch.look({"a": None, "b": REVOKED, "c": None})
        before = read(watch.state).records

        assert watch.hear({"a": None}) == []
        after = read(watch.state).records
        assert (after["b"], after["c"]) == (before["b"], before["c"])


class TestApplications:
    """A client secret is one, however many connections hold it."""

    def test_two_hundred_are_one_critical_alert(self, watch: Watch) -> None:
        """Three cycles with a rejected secret: one message with all members, none for a credential."""
        heard = [watch.look(failing(200, 200, REJECTED)) for _ in range(3)]

        assert [len(each) for each in heard] == [1, 0, 0]
        (firing,) = heard[0]
        assert (firing.phase, firing.severity, len(firing.conn_ids)) == ("firing", "critical", 200)
        assert firing.key == f"lwa/prod/app/{watch.APPLICATION}"

    def test_their_mending_is_one_message(self, watch: Watch) -> None:
        """All connections get the new secret: resolved once."""
        watch.look(failing(200, 200, REJECTED))

        assert watch.hear(failing(0, 200, REJECTED)) == [("resolved", f"app/{watch.APPLICATION}")]

    def test_two_applications_are_two_alerts(self, watch: Watch) -> None:
        """Their client ids tell them apart."""
        watch.now += HOUR
        seen = [watch.observation(f"{cid}{n}", REJECTED, client_id=cid) for cid in "xy" for n in range(3)]

        assert watch.brief(watch.see(*seen)) == [("firing", "app/x"), ("firing", "app/y")]

    def test_some_with_the_old_secret_are_told_apart(self, watch: Watch) -> None:
        """Five of twenty hold another secret than those that work: an error that says so."""
        watch.now += HOUR
        new, old = (Standing(client_print=fingerprint(secret, "salt")) for secret in ("new", "old"))
        (firing,) = watch.see(
            *(watch.observation(name, REJECTED, standing=old) for name in names(20)[:5]),
            *(watch.observation(name, None, standing=new) for name in names(20)[5:]),
        )
        words = message(firing)

        assert (firing.severity, firing.outdated, firing.conn_ids) == ("error", True, tuple(names(5)))
        assert words["title"].endswith("outdated client secret (5 of 20 connections)")
        assert "no rotation is needed" in words["text"]

    def test_the_same_secret_elsewhere_is_no_excuse(self, watch: Watch) -> None:
        """One that was healthy before, with the very secret that is rejected now, does not make it milder."""
        same = Standing(client_print="0123456789")
        watch.look({"a": None, "b": None}, standing=same)
        (firing,) = watch.look({"a": REJECTED}, standing=same)

        assert (firing.severity, firing.working, firing.outdated) == ("critical", 0, False)

    def test_a_member_revoked_before_stays_so(self, watch: Watch) -> None:
        """Revoked, the secret breaks, the secret is mended, still revoked, then well: each told once."""
        app = f"app/{watch.APPLICATION}"
        watch.look({"a": REVOKED, "b": None})
        heard = [
            watch.hear({"a": mine, "b": other})
            for mine, other in ((REJECTED, REJECTED), (REVOKED, None), (REVOKED, None), (None, None))
        ]

        assert heard == [[("firing", app)], [("resolved", app)], [], [("resolved", "cred/a")]]

    def test_many_revoked_at_once_are_one_alert(self, watch: Watch) -> None:
        """Twenty-five of forty in one cycle: the application is suspected, once, and once it is over."""
        key = f"app/{watch.APPLICATION}/revoked"
        watch.look(failing(0, 40, REVOKED))
        (firing,) = watch.look(failing(25, 40, REVOKED))

        assert watch.brief([firing]) == [("firing", key)]
        assert (firing.severity, len(firing.conn_ids)) == ("critical", 25)
        assert "authorizations revoked (25 of 40 connections)" in message(firing)["title"]
        assert watch.hear(failing(26, 40, REVOKED)) == []
        assert watch.hear(failing(2, 40, REVOKED)) == []
        assert watch.hear(failing(0, 40, REVOKED)) == [("resolved", key)]

    def test_few_revoked_are_told_one_by_one(self, watch: Watch) -> None:
        """Three of forty are three incidents of one cycle."""
        assert watch.hear(failing(3, 40, REVOKED)) == [("firing", f"cred/{name}") for name in names(3)]


class TestOutages:
    """Trouble that may pass by itself."""

    def test_two_failures_are_none(self, watch: Watch) -> None:
        """503 twice and then an answer."""
        assert [watch.hear({"a": sight}) for sight in (DOWN, DOWN, None)] == [[], [], []]

    def test_the_third_is_a_warning(self, watch: Watch) -> None:
        """503 every twenty minutes."""
        heard = [watch.look({"a": DOWN}, after=20 * MINUTE) for _ in range(3)]

        assert [[one.severity for one in each] for each in heard] == [[], [], ["warning"]]

    def test_a_burst_waits_for_half_an_hour(self, watch: Watch) -> None:
        """503 every five minutes is told at the seventh."""
        heard = [watch.hear({"a": DOWN}, after=5 * MINUTE) for _ in range(7)]

        assert [len(each) for each in heard] == [0, 0, 0, 0, 0, 0, 1]

    def test_it_ends_with_two_answers_in_a_row(self, watch: Watch) -> None:
        """Announced, then an answer, 503, and two answers."""
        for _ in range(3):
            watch.look({"a": DOWN})

        heard = [watch.hear({"a": sight}) for sight in (None, DOWN, None, None)]
        assert heard == [[], [], [], [("resolved", "cred/a")]]

    def test_a_host_that_answers_nobody_is_one_alert(self, watch: Watch) -> None:
        """500 for all fifty of a host: one alert for the host, and one end."""
        down = unavailable(500)
        heard = [watch.hear(failing(50, 50, down), standing=SAME) for _ in range(4)]
        ends = [watch.hear(failing(0, 50, down), standing=SAME) for _ in range(3)]

        assert heard == [[], [], [("firing", "endpoint/api.amazon.com")], []]
        assert ends == [[], [("resolved", "endpoint/api.amazon.com")], []]

    def test_who_stays_in_trouble_is_told_when_the_host_is_well(self, watch: Watch) -> None:
        """Those that were spoken for by the host go on by themselves, without a false end."""
        for _ in range(3):
            watch.look(failing(5, 5, DOWN), standing=SAME)
        heard = [watch.hear(failing(1, 5, DOWN), standing=SAME) for _ in range(2)]

        assert heard == [[], [("firing", "cred/s000"), ("resolved", "endpoint/api.amazon.com")]]

    def test_an_own_outage_told_before_rests_meanwhile(self, watch: Watch) -> None:
        """Told before the host's, it is neither repeated nor ended by it."""
        for _ in range(3):
            watch.look(failing(1, 5, DOWN), standing=SAME)
        heard = [watch.hear(failing(5, 5, DOWN), standing=SAME) for _ in range(3)]

        assert heard == [[], [], [("firing", "endpoint/api.amazon.com")]]
        ends = [watch.hear(failing(1, 5, DOWN), standing=SAME) for _ in range(2)]
        assert ends == [[], [("resolved", "endpoint/api.amazon.com")]]
        assert [watch.hear(failing(0, 5, DOWN), standing=SAME) for _ in range(2)][-1] == [
            ("resolved", "cred/s000")
        ]

    def test_a_plea_to_slow_down_is_heeded_quietly(self, watch: Watch) -> None:
        """429 with Retry-After 7, twice: no message; the seconds are kept for whoever retries."""
        slow = said(429, b"", retry_after="7")

        assert slow.retry_after == 7
        assert [watch.hear({"a": slow}) for _ in range(2)] == [[], []]

    @pytest.mark.parametrize("error", [requests.ReadTimeout("slow"), requests.ConnectionError("reset")])
    def test_no_connection_is_an_outage(self, watch: Watch, error: Exception) -> None:
        """A timeout and a reset may pass."""
        with pytest.raises(LwaError) as caught:
            translate(error, "api.amazon.com")
        heard = [watch.look({"a": caught.value}) for _ in range(3)]

        assert [[one.kind for one in each] for each in heard] == [[], [], ["unavailable"]]

    def test_a_captive_portal_is_told_when_it_stays(self, watch: Watch) -> None:
        """200 with HTML is no token and no verdict on the credential."""
        portal = said(200, b"<html>Please log in</html>")
        heard = [watch.look({"a": portal}) for _ in range(3)]

        assert [[one.kind for one in each] for each in heard] == [[], [], ["bad_response"]]

    def test_a_refusing_proxy_revokes_nothing(self, watch: Watch) -> None:
        """403 with HTML twice: silence."""
        proxy = said(403, b"<html>Forbidden</html>")

        assert proxy.kind == "bad_response"
        assert [watch.hear({"a": proxy}) for _ in range(2)] == [[], []]


class TestOnTheWire:
    """Looks that the hook itself takes, at Amazon on loopback."""

    @staticmethod
    def look(watch: Watch) -> tuple[Observation, list[Notification]]:
        """:return: what the hook sees, and what is told of it"""
        seen = LwaHook().check()
        watch.now = max(watch.now + 1, seen.at)
        return seen, watch.see(seen)

    def test_a_missing_refresh_token_is_found_without_a_request(self, seller: Seller, watch: Watch) -> None:
        """The connection is wrong; Amazon is not asked."""
        seller.connect(refresh_token=None)
        seen, (firing,) = self.look(watch)

        assert (firing.phase, firing.kind) == ("firing", "misconfigured")
        assert (seen.layer, seller.amazon.journal) == ("local", [])

    def test_another_type_of_connection_is_found(self, seller: Seller, watch: Watch) -> None:
        """A connection of type ``http`` is no credential."""
        seller.connect(conn_type="http")
        _, (firing,) = self.look(watch)

        assert firing.kind == "misconfigured"

    def test_a_line_break_in_the_token_is_found_without_a_request(self, seller: Seller, watch: Watch) -> None:
        """As it comes with a careless paste."""
        seller.connect(refresh_token=f"{seller.grant.refresh_token}\n")
        _, (firing,) = self.look(watch)

        assert (firing.kind, seller.amazon.journal) == ("misconfigured", [])

    def test_a_missing_role_is_over_when_the_api_accepts(self, seller: Seller, watch: Watch) -> None:
        """Login with Amazon accepts, the API refuses; later it accepts."""
        roles = seller.application.roles
        seller.application.roles = frozenset({"reports"})
        _, (firing,) = self.look(watch)
        seller.application.roles = roles
        _, (resolved,) = self.look(watch)

        assert (firing.kind, firing.layer) == ("access_denied", "api")
        assert resolved.phase == "resolved"

    def test_a_look_says_what_the_connection_says(self, seller: Seller) -> None:
        """Dates, silence, fingerprints and hosts come with it; no secret does."""
        seller.connect(
            authorized_on="2026-01-02",
            app_credentials_rotated_on="2026-02-03",
            alerts_muted_until="2026-03-04",
        )
        seen = LwaHook().check(api=False)
        standing = seen.standing

        assert standing is not None
        assert (standing.authorized_on, standing.rotated_on) == (1767312000.0, 1770076800.0)
        assert (standing.muted_until, standing.runs_out) == (1772582400.0, True)
        assert standing.hosts == (seller.amazon.url.split("//")[1],) * 2
        assert [len(one or "") for one in (standing.grant_print, standing.client_print)] == [10, 10]
        text = json.dumps(seen.to_json())
        assert seller.application.client_secret not in text
        assert seller.grant.refresh_token.partition("|")[2] not in text

    def test_one_out_of_service_is_not_asked_for(self, seller: Seller, watch: Watch) -> None:
        """A retired connection costs no request and is remembered by nobody."""
        seller.connect(retired=True)
        seen = LwaHook().check(retired=False)

        assert (seen.layer, seller.amazon.journal) == ("local", [])
        assert watch.see(seen) == []
        assert read(watch.state).records == {}


class TestLayers:
    """A success clears problems of its own layer and those before it."""

    def test_a_token_alone_does_not_end_a_missing_role(self, watch: Watch) -> None:
        """The API refused; later only Login with Amazon was asked."""
        answer = Answer(403, {}, b"", 0.0)
        payload = {"errors": [{"code": "Unauthorized", "message": "Access to requested resource is denied."}]}
        denied = selling_partner.error_of(answer, payload, "GET /sellers")
        assert denied is not None
        assert watch.hear({"a": denied}) == [("firing", "cred/a")]

        assert [watch.hear({"a": None}, layer="token") for _ in range(3)] == [[], [], []]

    def test_what_only_tasks_met_ends_with_a_task_or_a_quiet_day(self, watch: Watch) -> None:
        """A call refused while nobody could look is believed; a token does not end it."""
        for days in (False, True):
            denied = meets(watch, "access_denied", layer="operation")
            assert watch.hear({"a": DOWN}, reports=[denied]) == [("firing", "cred/a")]
            assert watch.hear({"a": None}, layer="api") == []
            worked = meets(watch, "healthy", layer="operation")
            if days:
                assert watch.hear({"a": None}, after=DAY) == [("resolved", "cred/a")]
            else:
                assert watch.hear({}, reports=[worked]) == [("resolved", "cred/a")]

    def test_what_a_task_met_outlasts_what_a_look_met(self, watch: Watch) -> None:
        """Refused to a task, then revoked, then authorized again: over when a task's call is accepted."""
        denied = meets(watch, "access_denied", layer="operation")
        watch.look({"a": DOWN}, reports=[denied])
        assert watch.hear({"a": REVOKED}) == [("update", "cred/a")]
        assert watch.hear({}, reports=[meets(watch, "healthy", layer="operation")]) == []
        assert watch.hear({"a": None}) == []
        worked = meets(watch, "healthy", layer="operation")
        assert watch.hear({}, reports=[worked]) == [("resolved", "cred/a")]

    def test_a_task_with_an_old_token_does_not_end_a_revocation(self, watch: Watch) -> None:
        """An access token lives on for an hour."""
        watch.look({"a": REVOKED})

        assert watch.hear({}, reports=[meets(watch, "healthy", layer="operation")]) == []


class TestReports:
    """What tasks say."""

    def test_one_that_a_look_confirms_fires_at_once(self, watch: Watch) -> None:
        """And the next cycle is silent."""
        watch.look({"a": None})
        (firing,) = watch.look({"a": REVOKED}, reports=[meets(watch)])

        assert (firing.phase, firing.dag_ids, firing.failures) == ("firing", ("orders",), 1)
        assert "1 task failure reported in orders." in message(firing)["text"]
        assert watch.hear({"a": REVOKED}) == []

    def test_one_that_a_look_denies_is_none(self, watch: Watch) -> None:
        """The credential works, so the task had a reason of its own."""
        watch.look({"a": None})

        assert watch.hear({"a": None}, reports=[meets(watch)]) == []

    def test_one_is_believed_while_nobody_can_look(self, watch: Watch) -> None:
        """Login with Amazon does not answer the look."""
        watch.look({"a": None})

        assert watch.hear({"a": DOWN}, reports=[meets(watch)]) == [("firing", "cred/a")]

    def test_twenty_equal_ones_are_one_alert(self, watch: Watch) -> None:
        """Also when they come again."""
        reports = [meets(watch, task_id=f"t{n}") for n in range(20)]

        assert watch.hear({"a": REVOKED}, reports=reports) == [("firing", "cred/a")]
        assert watch.hear({"a": REVOKED}, reports=reports) == []
        assert read(watch.state).records["a"].failures == 20

    def test_several_while_looks_succeed_are_a_warning(self, watch: Watch) -> None:
        """Three within an hour; over when a task succeeds."""
        watch.look({"a": None})
        heard = []
        for _ in range(3):
            at = watch.now + 19 * MINUTE
            heard.append(watch.look({"a": None}, after=20 * MINUTE, reports=[meets(watch, at=at)]))
        *quiet, (firing,) = heard

        assert quiet == [[], []]
        assert (firing.kind, firing.severity) == ("operators_failing", "warning")
        assert watch.hear({"a": None}) == []
        worked = meets(watch, "healthy", layer="operation")
        assert watch.hear({"a": None}, reports=[worked]) == [("resolved", "cred/a/operators")]

    def test_several_spread_over_hours_are_none(self, watch: Watch) -> None:
        """One an hour, for a day, is not three within one."""
        watch.look({"a": None})

        assert [watch.hear({"a": None}, reports=[meets(watch)]) for _ in range(24)] == [[]] * 24

    def test_what_amazon_dislikes_about_a_call_is_not_the_credentials(self, watch: Watch) -> None:
        """A wrong parameter is the task's own."""
        watch.look({"a": None})
        reports = [meets(watch, "invalid_input", layer="operation") for _ in range(5)]

        assert watch.hear({"a": None}, reports=reports) == []

    def test_they_travel_as_json_without_secrets(self) -> None:
        """As an inbox holds them."""
        report = Report.of_error(
            refused("invalid_grant", request_id=REFRESH_TOKEN), at=1.0, conn_id="a", dag_id=CLIENT_SECRET
        )
        text = json.dumps(report.to_json())

        assert Report.from_json(json.loads(text)) == report
        assert REFRESH_TOKEN not in text
        assert CLIENT_SECRET not in text


class TestCalendar:
    """What runs out on a known day."""

    def test_an_authorization_is_told_ahead_step_by_step(self, watch: Watch) -> None:
        """Daily from day 330 on: at 30 days, and again at 14, 7, 3, 1 and 0."""
        standing = Standing(authorized_on=watch.now - 329 * DAY)
        heard = {
            day: [(one.phase, one.severity) for one in watch.look({"a": None}, after=DAY, standing=standing)]
            for day in range(330, 375)
        }

        assert {365 - day: told for day, told in heard.items() if told} == {
            30: [("firing", "warning")],
            14: [("update", "warning")],
            7: [("update", "error")],
            3: [("update", "error")],
            1: [("update", "error")],
            0: [("update", "error")],
        }

    def test_a_new_refresh_token_ends_it(self, watch: Watch) -> None:
        """Its fingerprint changes, so a new year has begun, whatever day the connection still names."""
        old = Standing(authorized_on=watch.now - 340 * DAY, grant_print="0000000000")
        new = Standing(authorized_on=old.authorized_on, grant_print="1111111111")
        (firing,) = watch.look({"a": None}, standing=old)

        assert "authorization runs out within 30 days" in message(firing)["title"]
        assert watch.hear({"a": None}, standing=new) == [("resolved", "cred/a/expiry")]
        assert watch.hear({"a": None}, standing=new, after=300 * DAY) == []
        assert watch.hear({"a": None}, standing=new, after=40 * DAY) == [("firing", "cred/a/expiry")]

    def test_a_client_secret_is_told_once_for_its_application(self, watch: Watch) -> None:
        """160 days old, held by two hundred connections."""
        standing = Standing(rotated_on=watch.now - 160 * DAY)
        (firing,) = watch.look(failing(0, 200, DOWN), standing=standing)

        assert watch.brief([firing]) == [("firing", f"app/{watch.APPLICATION}/expiry")]
        assert (len(firing.conn_ids), firing.days, firing.severity) == (200, 30, "warning")
        assert watch.look(failing(0, 200, DOWN), standing=standing) == []

    def test_a_new_client_secret_ends_it(self, watch: Watch) -> None:
        """Seen in one of its connections is enough."""
        old = Standing(rotated_on=watch.now - 175 * DAY, client_print="0000000000")
        (firing,) = watch.look({"a": None, "b": None}, standing=old)
        new = Standing(rotated_on=old.rotated_on, client_print="1111111111")

        assert firing.severity == "error"
        assert watch.hear({"a": None}, standing=new) == [("resolved", f"app/{watch.APPLICATION}/expiry")]

    def test_an_unknown_day_is_not_guessed(self, watch: Watch) -> None:
        """Nothing is said, for a year."""
        standing = Standing(grant_print="0000000000", client_print="0000000000", runs_out=True)

        assert [watch.hear({"a": None}, after=30 * DAY, standing=standing) for _ in range(13)] == [[]] * 13

    def test_a_day_that_is_no_longer_known_proves_nothing(self, watch: Watch) -> None:
        """The warning is closed, not resolved."""
        watch.look({"a": None}, standing=Standing(authorized_on=watch.now - 360 * DAY))

        assert watch.hear({"a": None}, standing=Standing()) == [("closed", "cred/a/expiry")]


class TestService:
    """Which credentials are watched, and who wants to hear of them."""

    def test_one_that_is_retired_is_closed(self, watch: Watch) -> None:
        """Broken and taken out of service: closed, which is not resolved."""
        watch.look({"a": REVOKED, "b": None})

        assert watch.hear({"a": None}, layer="local", standing=Standing(retired=True)) == [
            ("closed", "cred/a")
        ]
        assert set(read(watch.state).records) == {"b"}

    def test_a_silence_is_followed_by_one_message(self, watch: Watch) -> None:
        """Broken while silenced for three hours: told once when that is over."""
        standing = Standing(muted_until=watch.now + 3.5 * HOUR)
        heard = [watch.hear({"a": REVOKED}, standing=standing) for _ in range(6)]

        assert heard == [[], [], [], [("firing", "cred/a")], [], []]

    def test_a_silence_upon_an_alarm_is_followed_by_one_message(self, watch: Watch) -> None:
        """Told, silenced over two days, still broken: no reminder meanwhile, and one afterwards."""
        watch.look({"a": REVOKED})
        standing = Standing(muted_until=watch.now + 50.5 * HOUR)
        heard = [watch.hear({"a": REVOKED}, standing=standing) for _ in range(60)]

        assert {hour: told for hour, told in enumerate(heard, 1) if told} == {51: [("reminder", "cred/a")]}

    def test_an_end_is_told_in_silence_too(self, watch: Watch) -> None:
        """Whoever heard of it hears that it is over."""
        watch.look({"a": REVOKED})
        standing = Standing(muted_until=watch.now + DAY)
        watch.look({"a": REVOKED}, standing=standing)

        assert watch.hear({"a": None}, standing=standing) == [("resolved", "cred/a")]

    @pytest.mark.parametrize(("before", "after"), [(20, 10), (5, 0)])
    def test_a_list_that_shrinks_is_told(self, watch: Watch, before: int, after: int) -> None:
        """Half of the connections gone, or all of them: the monitor's alert, and nobody is closed."""
        everyone = names(before)
        watch.look({**dict.fromkeys(everyone), everyone[-1]: REVOKED}, inventory=everyone)
        (firing,) = watch.look(dict.fromkeys(everyone[:after]), inventory=everyone[:after])

        assert (firing.phase, firing.key, firing.severity) == (
            "firing",
            "lwa/prod/monitor/inventory",
            "error",
        )
        assert f"({before - after} of {before} connections)" in message(firing)["title"]
        assert len(read(watch.state).records) == before
        assert watch.hear({}, inventory=everyone) == [("resolved", "monitor/inventory")]

    def test_a_list_that_stays_short_is_believed(self, watch: Watch) -> None:
        """After a day the missing ones are let go: closed, not resolved."""
        everyone = names(20)
        watch.look({**dict.fromkeys(everyone), "s019": REVOKED}, inventory=everyone)
        watch.look(dict.fromkeys(everyone[:10]), inventory=everyone[:10])

        assert watch.hear(dict.fromkeys(everyone[:10]), after=DAY, inventory=everyone[:10]) == [
            ("closed", "cred/s019"),
            ("closed", "monitor/inventory"),
        ]

    def test_what_nobody_looks_at_is_told(self, watch: Watch) -> None:
        """Three times the usual time without a look is a warning, once, until somebody looks."""
        watch.look({"a": None, "b": None})
        heard = [watch.hear({"a": None}) for _ in range(5)]

        assert heard == [[], [], [], [("firing", "monitor/stale")], []]
        assert watch.hear({"a": None, "b": None}) == [("resolved", "monitor/stale")]


class TestState:
    """What is kept."""

    def test_no_secret_is_told_or_kept(self, watch: Watch) -> None:
        """Amazon's words hold the token and the secret: neither gets into a message or the state."""
        words = f"bad {REFRESH_TOKEN} of {CLIENT_SECRET}"
        error = said(400, {"error": "invalid_grant", "error_description": words})
        told = [message(one) for one in watch.look({"a": error})]

        assert told
        for secret in (REFRESH_TOKEN.partition("|")[2], CLIENT_SECRET):
            assert secret not in json.dumps([told, watch.state])

    def test_it_is_small_json(self, watch: Watch) -> None:
        """Two hundred credentials, all that is known of them, take less than 700 bytes each."""
        standing = Standing(
            authorized_on=watch.now - 10 * DAY,
            rotated_on=watch.now - 10 * DAY,
            grant_print="0123456789",
            client_print="0123456789",
            runs_out=True,
            hosts=SAME.hosts,
        )
        watch.look(failing(3, 200, REVOKED), standing=standing)

        assert len(json.dumps(watch.state)) < 200 * 700
        assert isinstance(watch.state, dict)
        sizes = [len(json.dumps(record)) for record in watch.state["records"].values()]
        assert max(sizes) < 700

    def test_what_is_lost_is_told_again_in_one_cycle(self, watch: Watch) -> None:
        """The state is gone: everything broken is told at once, once, with a word about why."""
        sights = failing(3, 40, REVOKED)
        watch.look(sights)
        watch.state = "?"
        again = watch.look(sights)

        assert [(one.phase, one.memory_lost) for one in again] == [("firing", True)] * 3
        assert watch.look(sights) == []

    def test_keys_fit_every_pager(self, watch: Watch) -> None:
        """Also those of hosts and applications."""
        long = "x" * 300
        for _ in range(3):
            watch.look(failing(3, 3, DOWN), standing=Standing(hosts=(long,)))
        watch.look({"a": ConfigurationError("x")})

        assert isinstance(watch.state, dict)
        assert all(len(key) <= 255 for key in watch.state["incidents"])
        assert len(watch.state["incidents"]) == 2
