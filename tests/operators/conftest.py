"""A task that pulls a report, attempt by attempt, without an Airflow around it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_lwa.operators.reports import SellingPartnerReportOperator
from airflow_provider_lwa.triggers.reports import ReportEvent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Seller

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
BODY = "sku\tprice\nA-1\t9.99\nA-2\t19.99\n"


class StateStore:
    """What Airflow 3.3 gives a task to remember things across its attempts: JSON only."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """As Airflow's."""
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key: str, value: Any) -> None:
        """As Airflow's."""
        self.kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        """As Airflow's."""
        self.kept.pop(key, None)


@dataclass
class Task:
    """One task instance: the operator with its defaults, and the context of its attempts."""

    seller: Seller
    folder: Path
    store: StateStore | None = field(default_factory=StateStore)
    attempt: int = 0
    max_tries: int = 0
    events: dict[Any, Any] = field(default_factory=dict)

    def another(self, name: str = "other") -> Task:
        """Make another task that asks the same, for a file of its own."""
        return Task(self.seller, self.folder / name)

    @property
    def asked(self) -> int:
        """How often Amazon was asked to make a report."""
        return self.seller.amazon.count(operation="createReport")

    @property
    def target(self) -> Path:
        """Where the report goes."""
        return self.folder / "out" / "listings.tsv"

    def operator(self, **changes: Any) -> SellingPartnerReportOperator:
        """Make the operator."""
        arguments = {"report_type": TYPE, "target": str(self.target), "poll_interval": 0.01, **changes}
        return SellingPartnerReportOperator(task_id="listings", **arguments)

    @property
    def context(self) -> Any:
        """What Airflow hands over to an attempt."""
        stores = {} if self.store is None else {"task_state_store": self.store}
        instance = SimpleNamespace(try_number=self.attempt, max_tries=self.max_tries)
        return {"ti": instance, "outlet_events": self.events, **stores}

    def clear(self) -> None:
        """Clear the task as Airflow does: attempts count on, and it may try as often again."""
        self.max_tries = self.attempt + self.operator().retries

    def run(self, **changes: Any) -> dict[str, Any]:
        """Run the next attempt."""
        self.attempt += 1
        return self.operator(**changes).execute(self.context)

    def defer(self, **changes: Any) -> TaskDeferred:
        """Run the next attempt up to where it defers."""
        with pytest.raises(TaskDeferred) as caught:
            self.run(deferrable=True, **changes)
        return caught.value

    def resume(self, event: Any, **changes: Any) -> dict[str, Any]:
        """Go on with an event."""
        payload = event.to_json() if isinstance(event, ReportEvent) else event
        return self.operator(deferrable=True, **changes).execute_complete(self.context, payload)


@pytest.fixture
def task(seller: Seller, tmp_path: Path) -> Task:
    """A task of a seller whose reports hold three lines."""
    seller.amazon.plan_report(TYPE, body=BODY, polls=2)
    return Task(seller, tmp_path)
