"""Look at a credential every quarter of an hour; tell a breakage once, and its end once."""

from __future__ import annotations

from airflow.providers.http.notifications.http import HttpNotifier

from airflow_provider_lwa.monitoring import lwa_credential_monitor

dag = lwa_credential_monitor(
    dag_id="credential_monitor",
    schedule="*/15 * * * *",
    conn_ids=["lwa_default"],
    notifiers=[HttpNotifier(http_conn_id="lwa_alerts", json={"text": "{{ lwa.text }}"})],
    tags=["amazon"],
)
