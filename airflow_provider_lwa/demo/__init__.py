"""The demo: a real Airflow, Amazon on loopback, and one credential from its first pull to its recovery."""

from __future__ import annotations
