"""An access token for your own code: one connection, one hook, a plain ``requests`` call."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import dag, task


@dag(schedule=None, catchup=False, tags=["amazon"])
def quickstart_token():
    @task
    def marketplaces() -> list[str]:
        import requests

        from airflow_provider_lwa.hooks.lwa import LwaHook

        amazon = LwaHook(lwa_conn_id="lwa_default")
        answer = requests.get(
            amazon.api_url + "/sellers/v1/marketplaceParticipations",
            headers={"x-amz-access-token": amazon.get_access_token()},
            timeout=30,
        )
        answer.raise_for_status()
        return [entry["marketplace"]["id"] for entry in answer.json()["payload"]]

    marketplaces()


quickstart_token()
