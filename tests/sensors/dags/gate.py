"""A DAG that begins only if its credential works."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_lwa.sensors.credentials import LwaCredentialSensor

with DAG("gate", schedule=None) as dag:
    LwaCredentialSensor(
        task_id="open", lwa_conn_id="lwa_acme", deferrable=True, poke_interval=0.2, timeout=30
    )
