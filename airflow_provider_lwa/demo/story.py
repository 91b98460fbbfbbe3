"""What the demo shows: a report is pulled, the authorization is withdrawn, somebody is told, it is mended.

The DAGs are the files of ``dags_example``, unchanged. Only the configuration ``[lwa] endpoint_overrides``
tells the provider to take an address on this machine for Amazon's; the connection is an ordinary one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import airflow_provider_lwa
from airflow_provider_lwa.demo.folder import Folder, FolderInUseError
from airflow_provider_lwa.demo.launcher import LauncherError, LocalAirflow, PortTakenError, free_port
from airflow_provider_lwa.demo.receiver import Receiver
from airflow_provider_lwa.demo.rest import AirflowRestError
from airflow_provider_lwa.demo.terminal import Terminal
from airflow_provider_lwa.emulator import Emulator
from airflow_provider_lwa.emulator.server import EmulatorError, add_demo_seller

if TYPE_CHECKING:
    from airflow_provider_lwa.emulator.world import Grant

CHECKOUT = Path(airflow_provider_lwa.__file__).resolve().parent.parent
EXAMPLES = CHECKOUT / "dags_example"
RUN = CHECKOUT / ".environments" / "demo-run"

TOKEN_DAG = "quickstart_token"  # noqa: S105 - because it is a DAG's name
REPORT_DAG = "selling_partner_report"
MONITOR_DAG = "credential_monitor"
REPORT_TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
RECIPIENT_CONNECTION = "lwa_alerts"

_USUAL_PORT = 8080
_ROWS_SHOWN = 4


class StoryError(Exception):
    """The demo could not go on. The message says why, and what to do."""


def tell(stream: TextIO, *, port: int | None, keep: Path | None, stay: bool) -> int:
    """
    Run the demo.

    :param stream: where to tell it
    :param port: where Airflow is to answer; ``None`` for the usual port or any free one
    :param keep: the folder to work in and to leave; ``None`` for the usual one
    :param stay: whether to leave Airflow up until Ctrl-C
    :return: the exit status
    """
    terminal = Terminal(stream)
    try:
        _tell_it(terminal, port, _folder(keep), stay=stay)
    except KeyboardInterrupt:
        terminal.say("\nInterrupted. Nothing is left running.")
        return 130
    except (AirflowRestError, EmulatorError, FolderInUseError, LauncherError, StoryError) as error:
        terminal.say(f"\nThe demo ends here. {error}")
        return 1
    return 0


def _tell_it(terminal: Terminal, port: int | None, folder: Path, *, stay: bool) -> None:
    began = time.monotonic()
    terminal.say("A real Airflow, and an Amazon that exists on this machine only. No account is needed.\n")
    with contextlib.ExitStack() as stage:
        with terminal.step("Starting Amazon") as step:
            amazon = stage.enter_context(Emulator())
            recipient = stage.enter_context(Receiver())
            step.outcome = amazon.url
        with terminal.step("Starting Airflow") as step:
            airflow = _airflow(amazon, port, folder)
            airflow.progress = step.note
            stage.enter_context(airflow)
            step.outcome = airflow.url
        if airflow.folder.interrupted:
            terminal.say("  An earlier run was interrupted; what it had left is removed.")
        seller = add_demo_seller(amazon)
        Story(terminal, amazon, recipient, airflow, seller).tell()
        terminal.say(f"\nAll this took {time.monotonic() - began:.0f} s. Its files: {folder}")
        if stay:
            _stay(terminal, airflow)
    terminal.say("Ended. Nothing is left running.")


@dataclass(frozen=True)
class Story:
    """
    The steps, each on the terminal.

    :param terminal: where they are told
    :param amazon: Amazon
    :param recipient: who is told when the credential breaks
    :param airflow: Airflow
    :param seller: the seller's authorization
    """

    terminal: Terminal
    amazon: Emulator
    recipient: Receiver
    airflow: LocalAirflow
    seller: Grant

    def tell(self) -> None:
        """
        Go through all of it.

        :raises StoryError: when a step does not turn out as it should
        """
        self._add_connections()
        self._use_a_token()
        self._pull_a_report()
        self._watch()
        self._break()
        self._mend()

    def _add_connections(self) -> None:
        with self.terminal.step("Adding the connection lwa_default, as its form does") as step:
            self.airflow.rest.add_connection("lwa_default", **lwa_connection(self.amazon, self.seller))
            self.airflow.rest.add_connection(
                RECIPIENT_CONNECTION, conn_type="http", host="http://127.0.0.1", port=self.recipient.port
            )
            step.outcome = "its secrets are sealed in Airflow's database"

    def _use_a_token(self) -> None:
        run = self._run(TOKEN_DAG, "a plain call with a token from the hook")
        marketplaces = self.airflow.rest.xcom(TOKEN_DAG, run, "marketplaces")
        self.terminal.say(f"    The seller's marketplaces: {', '.join(marketplaces)}")

    def _pull_a_report(self) -> None:
        self.amazon.plan_report(REPORT_TYPE, body=listings(1000), polls=1)
        run = self._run(REPORT_DAG, "a report, waited for without a worker")
        report = self.airflow.rest.xcom(REPORT_DAG, run, "listings")
        self.terminal.say(f"    {report['path']}\n    {report['bytes']:,} bytes, {report['rows']:,} rows:")
        with Path(report["path"]).open(encoding="utf-8") as lines:
            self.terminal.quote("".join(itertools.islice(lines, _ROWS_SHOWN)))
        tokens, calls = self.amazon.count(kind="token"), self.amazon.count(kind="api")
        self.terminal.say(f"    Token requests that Amazon has seen so far: {tokens}, for {calls} API calls.")

    def _watch(self) -> None:
        self._run(MONITOR_DAG, "it looks at all credentials; every 15 minutes by itself")
        if self.recipient.next() is not None:
            raise StoryError("The monitor told of a breakage before there was one.")
        self.terminal.say("    All is well, so nobody is told.")

    def _break(self) -> None:
        with self.terminal.step("The seller withdraws the authorization") as step:
            self.amazon.revoke(self.seller.refresh_token)
            step.outcome = "from now on, Amazon refuses its refresh token"
        self._show_message("The alert, as its recipient gets it:")

    def _mend(self) -> None:
        with self.terminal.step("The seller authorizes again"):
            self.amazon.restore(self.seller.refresh_token)
        self._show_message("And the recipient is told that it works again:")

    def _show_message(self, heading: str) -> None:
        self._run(MONITOR_DAG, "it looks again")
        message = self.recipient.next(timeout=10)
        if message is None:
            raise StoryError("The monitor ran, but told nobody.")
        self.terminal.say(f"    {heading}")
        self.terminal.quote(readable(message))

    def _run(self, dag_id: str, what: str) -> str:
        with self.terminal.step(f"DAG {dag_id}: {what}"):
            run = self.airflow.rest.trigger(dag_id)
            if self.airflow.rest.wait(dag_id, run) != "success":
                logs = self.airflow.rest.failure_logs(dag_id, run)
                raise StoryError(f"The DAG {dag_id} has failed. Its logs:\n{logs}")
        return run


def lwa_connection(amazon: Emulator, seller: Grant) -> dict[str, str]:
    """
    Write a seller's credential as the connection form does.

    :param amazon: where the application is registered
    :param seller: the authorization
    :return: the fields of the connection
    """
    extra = {
        "api": "selling_partner",
        "region": seller.region,
        "refresh_token": seller.refresh_token,
        "marketplace_ids": list(seller.marketplace_ids),
    }
    secret = amazon.applications[seller.client_id].client_secret
    return {"conn_type": "lwa", "login": seller.client_id, "password": secret, "extra": json.dumps(extra)}


def listings(count: int) -> str:
    """
    Make up a listings report.

    :param count: how many listings
    :return: tab-separated lines under a header
    """
    goods = itertools.cycle(["Teapot, 1.2 l", "Enamel mug", "Café filter No. 4", "Honey spoon, olive wood"])
    lines = [
        f"{name}\tSKU-{number:05}\t{5 + number % 40}.90\t{number % 17}\tB0{number:08}"
        for number, name in enumerate(itertools.islice(goods, count), 1)
    ]
    return "\n".join(["item-name\tseller-sku\tprice\tquantity\tasin1", *lines]) + "\n"


def readable(message: str) -> str:
    """
    Lay out a message for reading.

    :param message: as it was posted
    :return: its text, if it is a JSON object with one; otherwise the message
    """
    with contextlib.suppress(ValueError):
        parsed: Any = json.loads(message)
        if isinstance(parsed, dict) and isinstance(parsed.get("text"), str):
            return str(parsed["text"])
    return message


def _folder(keep: Path | None) -> Path:
    if not EXAMPLES.is_dir():
        raise StoryError(f"It plays the DAGs of a checkout, and {EXAMPLES} is not there. Clone the project.")
    if keep is not None and Folder(keep).used:
        raise StoryError(f"{keep} keeps an earlier run. Choose another folder, or delete that one.")
    return (keep or RUN).resolve()


def _airflow(amazon: Emulator, port: int | None, folder: Path) -> LocalAirflow:
    environment = {
        "AIRFLOW__LWA__ENDPOINT_OVERRIDES": json.dumps(amazon.endpoint_overrides),
        "REPORTS": str(folder / "reports"),
    }
    return LocalAirflow(folder, EXAMPLES, port=port or _usual_port(), environment=environment)


def _usual_port() -> int:
    try:
        return free_port(_USUAL_PORT)
    except PortTakenError:
        return free_port(0)


def _stay(terminal: Terminal, airflow: LocalAirflow) -> None:
    terminal.say(f"\nLook around: {airflow.url} (no login). Ctrl-C ends it.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            airflow.check()
            time.sleep(0.5)
    terminal.say()
