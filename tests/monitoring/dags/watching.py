"""A monitor with two channels; which connections it watches, the test says in the environment."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.http.notifications.http import HttpNotifier

from airflow_provider_lwa.monitoring import AlertPolicy, Route, lwa_credential_monitor

dag = lwa_credential_monitor(
    "watching",
    schedule=None,
    conn_ids=lambda: os.environ["WATCHED"].split(),  # noqa: PLW0108 - because it is read when the DAG runs
    routes=[
        Route(notifiers=[HttpNotifier(http_conn_id="chat", json={"text": "{{ lwa.title }}"})]),
        Route(
            notifiers=[
                HttpNotifier(
                    http_conn_id="pager",
                    json={
                        "event_action": "{{ lwa.pd_action }}",
                        "dedup_key": "{{ lwa.dedup_key }}",
                        "summary": "{{ lwa.title }}",
                        "severity": "{{ lwa.severity }}",
                    },
                )
            ],
            min_severity="error",
        ),
    ],
    policy=AlertPolicy(transient_failures=1, transient_for=timedelta(0), recoveries=1),
    batch_size=2,
    deployment="test",
    default_args={"retries": 0},
)
