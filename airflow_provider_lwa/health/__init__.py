"""Credential health: what was seen, what it means, and whom to tell; without Airflow."""

from __future__ import annotations
