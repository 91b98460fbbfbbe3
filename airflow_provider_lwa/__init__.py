"""Login with Amazon for Apache Airflow: one connection per credential, shared tokens, reports, health."""

from __future__ import annotations

__version__ = "0.1.0"
