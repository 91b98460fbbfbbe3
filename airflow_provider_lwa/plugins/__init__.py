"""Pages inside Airflow."""

from __future__ import annotations
