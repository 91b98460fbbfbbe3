"""Each breakage is told once and to its end: the monitor's acceptance list, on a clock of the test's own."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.amazon.errors import (
    ClientSecretExpired,
    ConfigurationError,
    LwaError,
    Unavailable,
)
from airflow_provider_lwa.health.incidents import EVERYTHING, read
from airflow_provider_lwa.health.record import AlertPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.health.conftest import Watch

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class TestPermanent:
    """A credential that no waiting mends."""

    def test_health_is_silent(self, watch: Watch) -> None:
        """Credentials that work are no news, however often they are looked at."""
        assert [watch.hear({"a": None, "b": None, "c": None}) for _ in range(5)] == [[]] * 5

    def test_a_revoked_credential_fires_once(self, watch: Watch) -> None:
        """The first refusal is told at once; the same refusal an hour later is no news."""
        heard = [watch.hear({"a": None, "b": watch.REVOKED, "c": None}) for _ in range(4)]

        assert heard == [[("firing", "cred/b")], [], [], []]

    def test_health_resolves_it_once(self, watch: Watch) -> None:
        """One success ends a permanent failure, and is told once."""
        watch.look({"a": watch.REVOKED})

        assert [watch.hear({"a": None}) for _ in range(3)] == [[("resolved", "cred/a")], [], []]

    def test_it_is_repeated_daily(self, watch: Watch) -> None:
        """What stays broken is brought to mind every 24 hours, no more and no less."""
        heard = [watch.hear({"a": watch.REVOKED}) for _ in range(50)]

        assert {hour: said for hour, said in enumerate(heard) if said} == {
            0: [("firing", "cred/a")],
            24: [("reminder", "cred/a")],
            48: [("reminder", "cred/a")],
        }

    def test_another_class_updates_the_same_incident(self, watch: Watch) -> None:
        """A refusal of another kind says so, under the same key and naming what it was before."""
        watch.look({"a": watch.REVOKED})
        (update,) = watch.look({"a": watch.UNAUTHORIZED})

        assert (update.phase, update.key, update.kind, update.before) == (
            "update",
            "lwa/prod/cred/a",
            "client_unauthorized",
            "revoked",
        )
        assert watch.look({"a": watch.UNAUTHORIZED}) == []

    def test_an_outage_neither_clears_nor_relabels_it(self, watch: Watch) -> None:
        """While Amazon does not answer, a revoked credential stays revoked and nothing is said."""
        watch.look({"a": watch.REVOKED})

        for sight in (*[watch.DOWN] * 4, watch.REVOKED):
            assert watch.hear({"a": sight}) == []
            record = read(watch.state).records["a"]
            assert (record.state, record.kind) == ("broken", "revoked")

    def test_every_broken_credential_is_told(self, watch: Watch) -> None:
        """Three of forty revoked in one cycle are three incidents."""
        sights: dict[str, LwaError | None] = {f"s{n:02}": None for n in range(40)}
        sights |= dict.fromkeys(("s03", "s17", "s39"), watch.REVOKED)

        assert watch.hear(sights) == [("firing", f"cred/{name}") for name in ("s03", "s17", "s39")]

    def test_what_the_connection_itself_lacks_is_told_at_once(self, watch: Watch) -> None:
        """A connection that cannot be used fires with every problem of it, though Amazon was not asked."""
        problems = ["The client secret (password) is missing.", "region is 'x'."]
        (firing,) = watch.look({"a": ConfigurationError(problems)}, client_id=None)

        assert (firing.kind, firing.layer) == ("misconfigured", "local")
        assert firing.description == " ".join(problems)

    def test_a_second_look_can_be_asked_for(self, watching: Callable[..., Watch]) -> None:
        """With one confirmation, a refusal that is gone at the next look was none; one that stays is told."""
        watch = watching(policy=AlertPolicy(confirmations=1))

        assert [
            watch.hear({"a": sight}, after=60)
            for sight in (watch.REVOKED, None, watch.REVOKED, watch.DOWN, watch.REVOKED, watch.REVOKED)
        ] == [[], [], [], [], [("firing", "cred/a")], []]


class TestLayers:
    """Health is believed as far as it was proven."""

    def test_a_token_does_not_prove_the_api(self, watch: Watch) -> None:
        """What the API refused is over when the API accepts, not when Login with Amazon gives a token."""
        assert watch.hear({"a": watch.DENIED}) == [("firing", "cred/a")]
        assert watch.hear({"a": None}, layer="token") == []
        assert watch.hear({"a": None}, layer="api") == [("resolved", "cred/a")]

    def test_trouble_is_as_deep_as_its_deepest_failure(self, watch: Watch) -> None:
        """A revocation on top of a refusal by the API does not make a token proof enough."""
        watch.look({"a": watch.DENIED})
        watch.look({"a": watch.REVOKED})

        assert watch.hear({"a": None}, layer="token") == []
        assert watch.hear({"a": None}, layer="api") == [("resolved", "cred/a")]

    def test_a_token_proves_what_lies_before_it(self, watch: Watch) -> None:
        """A connection that gets a token is complete."""
        watch.look({"a": ConfigurationError("The client secret (password) is missing.")})

        assert watch.hear({"a": None}, layer="token") == [("resolved", "cred/a")]

    def test_a_complete_connection_proves_nothing_about_amazon(self, watch: Watch) -> None:
        """A look that did not ask Amazon does not end a revocation."""
        watch.look({"a": watch.REVOKED})

        assert watch.hear({"a": None}, layer="local") == []


class TestTransient:
    """Trouble that may pass by itself."""

    def test_what_passes_is_not_told(self, watch: Watch) -> None:
        """Two failures and a success, again and again, are no outage."""
        sights = (watch.DOWN, watch.DOWN, None) * 4

        assert [watch.hear({"a": sight}) for sight in sights] == [[]] * 12

    def test_three_in_half_an_hour_are_told(self, watch: Watch) -> None:
        """The third failure in a row is told as a warning if the first is half an hour old, and once."""
        heard = [watch.look({"a": watch.DOWN}, after=20 * MINUTE) for _ in range(6)]

        assert [len(each) for each in heard] == [0, 0, 1, 0, 0, 0]
        assert (heard[2][0].phase, heard[2][0].severity) == ("firing", "warning")

    def test_a_burst_waits_for_the_half_hour(self, watch: Watch) -> None:
        """Failures every five minutes are told when thirty minutes have passed: at the seventh."""
        heard = [watch.hear({"a": watch.DOWN}, after=5 * MINUTE) for _ in range(8)]

        assert [len(each) for each in heard] == [0, 0, 0, 0, 0, 0, 1, 0]

    def test_an_announced_outage_ends_with_two_successes_in_a_row(self, watch: Watch) -> None:
        """One success between failures ends nothing."""
        for _ in range(3):
            watch.look({"a": watch.DOWN})

        heard = [watch.hear({"a": sight}) for sight in (None, watch.DOWN, None, None, None)]

        assert heard == [[], [], [], [("resolved", "cred/a")], []]

    def test_an_outage_with_changing_faces_is_one(self, watch: Watch) -> None:
        """Throttled, unavailable and unreadable by turns are one outage and one warning."""
        sights = (watch.DOWN, watch.SLOW, Unavailable("reset"), watch.SLOW, watch.DOWN, watch.SLOW)

        assert [len(watch.look({"a": sight})) for sight in sights] == [0, 0, 1, 0, 0, 0]

    def test_a_warning_is_not_repeated(self, watch: Watch) -> None:
        """Reminders are for errors."""
        heard = [watch.hear({"a": watch.DOWN}) for _ in range(60)]

        assert sum(map(len, heard)) == 1

    def test_an_outage_that_ends_in_a_revocation_gets_louder(self, watch: Watch) -> None:
        """A warning becomes an error under the same key."""
        for _ in range(3):
            watch.look({"a": watch.DOWN})
        (update,) = watch.look({"a": watch.REVOKED})

        assert (update.phase, update.severity, update.before) == ("update", "error", "unavailable")

    def test_the_thresholds_are_the_policys(self, watching: Callable[..., Watch]) -> None:
        """Failures and time that make an outage can be set."""
        watch = watching(policy=AlertPolicy(transient_failures=2, transient_for=timedelta(0)))

        assert [watch.hear({"a": watch.DOWN}) for _ in range(2)] == [[], [("firing", "cred/a")]]


class TestApplications:
    """A client secret is the application's; its breakage is one, however many accounts share it."""

    def test_two_hundred_connections_are_one_alert(self, watch: Watch) -> None:
        """A rejected client secret fires once for the application, as critical, with all its connections."""
        sellers: dict[str, LwaError | None] = {f"s{n:03}": watch.REJECTED for n in range(200)}

        (firing,) = watch.look(sellers)
        assert (firing.key, firing.severity) == (f"lwa/prod/app/{watch.APPLICATION}", "critical")
        assert firing.conn_ids == tuple(sellers)
        assert [watch.hear(sellers) for _ in range(2)] == [[], []]
        assert watch.hear(dict.fromkeys(sellers)) == [("resolved", f"app/{watch.APPLICATION}")]

    def test_two_applications_are_two_alerts(self, watch: Watch) -> None:
        """Client ids tell applications apart."""
        seen = [
            watch.observation(name, watch.REJECTED, client_id=client_id)
            for client_id in ("amzn1.application-oa2-client.1", "amzn1.application-oa2-client.2")
            for name in (f"x{client_id[-1]}", f"y{client_id[-1]}")
        ]

        assert [one.conn_ids for one in watch.see(*seen)] == [("x1", "y1"), ("x2", "y2")]

    def test_some_with_an_outdated_secret_are_an_error(self, watch: Watch) -> None:
        """If other connections of the application work, the alert names those that do not, less loudly."""
        sights: dict[str, LwaError | None] = {
            f"s{n:02}": watch.REJECTED if n < 5 else None for n in range(20)
        }
        (firing,) = watch.look(sights)

        assert (firing.severity, firing.working) == ("error", 15)
        assert firing.conn_ids == ("s00", "s01", "s02", "s03", "s04")

    def test_a_wave_is_told_again_when_it_has_doubled(self, watch: Watch) -> None:
        """More connections of the same breakage are news only in doublings."""
        names = [f"s{n:02}" for n in range(16)]
        sizes = [
            len(watch.look({name: watch.REJECTED if n < broken else None for n, name in enumerate(names)}))
            for broken in (2, 3, 4, 5, 7, 8)
        ]

        assert sizes == [1, 0, 1, 0, 0, 1]

    def test_it_ends_with_the_last_of_them(self, watch: Watch) -> None:
        """Half of them healthy is not resolved."""
        watch.look({"a": watch.REJECTED, "b": watch.REJECTED})

        assert watch.hear({"a": None, "b": watch.REJECTED}) == []
        assert watch.hear({"a": None, "b": None}) == [("resolved", f"app/{watch.APPLICATION}")]

    def test_who_heard_the_alarm_hears_the_end(self, watch: Watch) -> None:
        """A critical incident stays critical until it is over, also while it gets smaller."""
        watch.look({"a": watch.REJECTED, "b": watch.REJECTED})
        watch.look({"a": None, "b": watch.REJECTED})
        (reminder,) = watch.look({"a": None, "b": watch.REJECTED}, after=DAY)
        (resolved,) = watch.look({"a": None, "b": None})

        assert (reminder.phase, reminder.severity) == ("reminder", "critical")
        assert (resolved.phase, resolved.severity) == ("resolved", "critical")

    def test_another_trouble_of_a_member_is_no_proof(self, watch: Watch) -> None:
        """While one of its connections cannot even be used, nobody knows that its secret is accepted."""
        incomplete = ConfigurationError("The refresh token is missing.")
        watch.look({"a": watch.REJECTED, "b": watch.REJECTED})

        assert watch.hear({"a": watch.REJECTED, "b": incomplete}) == [("firing", "cred/b")]
        assert watch.hear({"a": None, "b": incomplete}) == []
        assert watch.hear({"a": None, "b": None}) == [
            ("resolved", f"app/{watch.APPLICATION}"),
            ("resolved", "cred/b"),
        ]

    def test_an_expired_secret_is_over_when_the_api_accepts(self, watch: Watch) -> None:
        """Login with Amazon goes on accepting it, so what it says about an account proves nothing here."""
        expired = ClientSecretExpired("The client secret is past its 180 days.")

        assert watch.hear({"a": expired, "b": expired}) == [("firing", f"app/{watch.APPLICATION}")]
        assert watch.hear({"a": watch.REVOKED, "b": watch.REVOKED}) == [
            ("firing", "cred/a"),
            ("firing", "cred/b"),
        ]
        assert watch.hear({"a": None, "b": None}, layer="token") == []
        assert len(watch.look({"a": None, "b": None}, layer="api")) == 3

    def test_an_account_revoked_before_stays_so_after(self, watch: Watch) -> None:
        """The application's breakage covers an account's own without ending it.

        That Login with Amazon refuses the account again proves that it accepts the application.
        """
        assert watch.hear({"a": watch.REVOKED, "b": None}) == [("firing", "cred/a")]
        assert watch.hear({"a": watch.REJECTED, "b": watch.REJECTED}) == [
            ("firing", f"app/{watch.APPLICATION}")
        ]
        assert watch.hear({"a": watch.REVOKED, "b": None}) == [("resolved", f"app/{watch.APPLICATION}")]
        assert watch.hear({"a": watch.REVOKED, "b": None}) == []
        assert watch.hear({"a": None, "b": None}) == [("resolved", "cred/a")]

    def test_without_a_known_client_id_it_is_the_connections(self, watch: Watch) -> None:
        """Where nobody can say which application it is, the connection speaks for itself."""
        assert watch.hear({"a": watch.REJECTED}, client_id=None) == [("firing", "cred/a")]


class TestStorms:
    """What comes and goes is not told each time."""

    def test_flapping_is_told_and_then_quiet(self, watch: Watch) -> None:
        """Twenty changes in ten hours make at most eight messages; the fourth opening says that it flaps."""
        heard = []
        for turn in range(20):
            heard += watch.look({"a": None if turn % 2 else watch.REVOKED}, after=30 * MINUTE)

        assert len(heard) <= 8
        assert [one.flapping for one in heard if one.phase == "firing"] == [False, False, False, True]
        assert heard[-1].phase == "firing"

    def test_flapping_is_over_after_hours_in_health(self, watch: Watch) -> None:
        """Six hours without a failure end it."""
        for turn in range(20):
            watch.look({"a": None if turn % 2 else watch.REVOKED}, after=30 * MINUTE)

        heard = [watch.hear({"a": None}) for _ in range(7)]

        assert [len(each) for each in heard] == [0, 0, 0, 0, 0, 1, 0]
        assert heard[5] == [("resolved", "cred/a")]

    def test_a_flapping_outage_that_becomes_a_revocation_is_told(self, watch: Watch) -> None:
        """Quiet is for more of the same, never for worse."""
        outage: list[LwaError | None] = [watch.DOWN] * 3
        for sight in (*outage, None, None) * 3 + tuple(outage):
            watch.look({"a": sight}, after=15 * MINUTE)

        assert watch.hear({"a": watch.REVOKED}) == [("update", "cred/a")]

    def test_a_class_that_wavers_is_not_told_each_time(self, watch: Watch) -> None:
        """Two refusals by turns, every quarter of an hour for a day: four messages."""
        heard = []
        for turn in range(96):
            sight = watch.REVOKED if turn % 2 else watch.UNAUTHORIZED
            heard += watch.hear({"a": sight}, after=15 * MINUTE)

        assert [phase for phase, _ in heard] == ["firing", "update", "update", "update"]


class TestInventory:
    """Which credentials are watched."""

    def test_one_taken_out_of_service_is_closed(self, watch: Watch) -> None:
        """A broken credential that is no longer watched is closed, which is not resolved, and forgotten."""
        watch.look({"a": watch.REVOKED, "b": None}, inventory=["a", "b"])

        assert watch.hear({"b": None}, inventory=["b"]) == [("closed", "cred/a")]
        assert watch.hear({"b": None}, inventory=["b"]) == []
        assert set(read(watch.state).records) == {"b"}

    def test_one_not_looked_at_keeps_its_state(self, watch: Watch) -> None:
        """A cycle that looked at one credential says nothing about the others."""
        watch.look({"a": None, "b": watch.REVOKED, "c": None})

        assert watch.hear({"a": None}, inventory=["a", "b", "c"]) == []
        assert watch.hear({"b": None}) == [("resolved", "cred/b")]

    def test_one_that_is_not_in_service_is_not_recorded(self, watch: Watch) -> None:
        """A look at a stranger changes nothing."""
        assert watch.hear({"stranger": watch.REVOKED}, inventory=["a"]) == []
        assert read(watch.state).records == {}

    def test_half_an_application_can_leave(self, watch: Watch) -> None:
        """The application's incident goes on for those who stay, and ends with them."""
        watch.look({"a": watch.REJECTED, "b": watch.REJECTED}, inventory=["a", "b"])

        assert watch.hear({"b": watch.REJECTED}, inventory=["b"]) == []
        assert watch.hear({"b": None}, inventory=["b"]) == [("resolved", f"app/{watch.APPLICATION}")]

    def test_a_connection_that_cannot_be_read_is_not_a_broken_credential(self, watch: Watch) -> None:
        """A secrets backend that is down is a warning after a while, and ends no breakage."""
        watch.look({"a": watch.REVOKED, "b": None})
        heard = []
        for _ in range(3):
            watch.now += HOUR
            observations = [
                type(watch.observation("a", None)).unreadable(name, at=watch.now, reason="no route to vault")
                for name in ("a", "b")
            ]
            heard += watch.see(*observations)

        assert [(one.key, one.kind, one.severity) for one in heard] == [
            ("lwa/prod/cred/b", "source_error", "warning")
        ]


class TestMemory:
    """The state between cycles."""

    def test_the_same_look_counts_once(self, watch: Watch) -> None:
        """A task that is run again with the same observations changes nothing."""
        watch.now += HOUR
        seen = [watch.observation("a", watch.DOWN)]
        for _ in range(5):
            assert watch.see(*seen) == []

        assert read(watch.state).records["a"].misses == 1

    def test_an_old_look_does_not_undo_a_newer(self, watch: Watch) -> None:
        """Observations of an old run that is run again neither break nor mend."""
        old = [watch.observation("a", watch.REVOKED), watch.observation("b", None)]
        watch.look({"a": None, "b": watch.REVOKED})

        assert watch.see(*old) == []
        assert read(watch.state).records["b"].state == "broken"

    def test_a_clock_that_is_ahead_does_not_blind(self, watch: Watch) -> None:
        """A look from the future counts as of now, and the next one counts again."""
        early = watch.observation("a", None)
        ahead = type(early)(conn_id="a", at=watch.now + DAY, layer="token", kind="healthy")
        watch.see(ahead)

        assert watch.hear({"a": watch.REVOKED}, after=MINUTE) == [("firing", "cred/a")]

    def test_a_record_that_cannot_be_read_is_lost_alone(self, watch: Watch) -> None:
        """Damage to one record is said, costs only that record, and is not taken for health."""
        watch.look({"a": watch.REVOKED, "b": watch.REVOKED, "c": None})
        damage(watch, "records", "a", {"state": "healthy", "conn_id": 5})

        assert watch.look({"b": watch.REVOKED}) == []
        assert watch.lost == ("a",)
        assert read(watch.state).records["a"].state == "broken"
        assert watch.hear({"a": None}) == [("resolved", "cred/a")]

    def test_a_lost_record_keeps_the_layer_it_failed_at(self, watch: Watch) -> None:
        """After damage too, a token does not end what the API refused."""
        watch.look({"a": watch.DENIED})
        damage(watch, "records", "a", None)

        assert watch.hear({"a": None}, layer="token") == []

    def test_a_lost_incident_is_told_again(self, watch: Watch) -> None:
        """Rather twice than never, and with a word about why."""
        watch.look({"a": watch.REVOKED})
        damage(watch, "incidents", "lwa/prod/cred/a", "?")

        (firing,) = watch.look({"a": watch.REVOKED})
        assert (firing.phase, firing.memory_lost) == ("firing", True)

    @pytest.mark.parametrize("state", ["text", 7, [], {}, {"version": 99}, {"version": 1, "records": []}])
    def test_a_foreign_state_is_lost_as_a_whole(self, watch: Watch, state: Any) -> None:
        """What is not a state of this version is said to be lost, and everything broken is told again."""
        watch.look({"a": watch.REVOKED})
        watch.state = state

        (firing,) = watch.look({"a": watch.REVOKED})
        assert watch.lost == (EVERYTHING,)
        assert (firing.phase, firing.memory_lost) == ("firing", True)

    def test_the_first_cycle_has_lost_nothing(self, watch: Watch) -> None:
        """No state at all is a beginning, not a loss."""
        (firing,) = watch.look({"a": watch.REVOKED})

        assert (watch.lost, firing.memory_lost) == ((), False)

    def test_it_is_small(self, watch: Watch) -> None:
        """Of two hundred credentials, a tenth of them broken, none takes 700 bytes."""
        watch.look({f"lwa_seller_{n:03}": watch.REVOKED if n % 10 == 0 else None for n in range(200)})

        assert len(json.dumps(watch.state)) < 200 * 700
        assert isinstance(watch.state, dict)
        assert max(len(json.dumps(record)) for record in watch.state["records"].values()) < 700

    def test_closed_incidents_are_forgotten(self, watch: Watch) -> None:
        """A day after the end nothing of an incident is left."""
        watch.look({"a": watch.REVOKED})
        watch.look({"a": None})
        watch.look({"a": None}, after=DAY)

        assert isinstance(watch.state, dict)
        assert watch.state["incidents"] == {}


class TestKeys:
    """Keys tie the messages of one incident together, in whatever tool receives them."""

    def test_they_name_deployment_and_credential(self, watch: Watch) -> None:
        """Two Airflows can share one pager."""
        (firing,) = watch.look({"lwa_acme": watch.REVOKED})

        assert firing.key == "lwa/prod/cred/lwa_acme"

    def test_they_stay_the_same(self, watch: Watch) -> None:
        """Firing, update, reminder and end carry one key."""
        phases = [
            *watch.look({"a": watch.REVOKED}),
            *watch.look({"a": watch.UNAUTHORIZED}),
            *watch.look({"a": watch.UNAUTHORIZED}, after=DAY),
            *watch.look({"a": None}),
        ]

        assert [one.phase for one in phases] == ["firing", "update", "reminder", "resolved"]
        assert len({one.key for one in phases}) == 1

    def test_a_long_one_is_shortened_without_confusion(self, watch: Watch) -> None:
        """At most 255 characters, and still different for different credentials."""
        names = ["x" * 300 + end for end in ("1", "2")]
        keys = [one.key for one in watch.look(dict.fromkeys(names, watch.REVOKED))]

        assert len(set(keys)) == 2
        assert all(len(key) <= 255 for key in keys)


def damage(watch: Watch, part: str, name: str, value: Any) -> None:
    """Put something foreign into the state."""
    assert isinstance(watch.state, dict)
    assert name in watch.state[part]
    watch.state[part][name] = value
