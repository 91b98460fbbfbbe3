"""Sensors: wait until a credential or a report is as it should be."""

from __future__ import annotations
