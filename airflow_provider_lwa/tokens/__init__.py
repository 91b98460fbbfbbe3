"""Getting a token once and sharing it: between threads, processes and hosts. Never imports Airflow."""

from __future__ import annotations

from airflow_provider_lwa.tokens.records import Clock, Settings, Token
from airflow_provider_lwa.tokens.registry import Configuration, shared
from airflow_provider_lwa.tokens.safe import Safe, open_safe
from airflow_provider_lwa.tokens.source import TokenRequest, TokenSource
from airflow_provider_lwa.tokens.stores import Entry, FileStore, MemoryStore, Role, TokenStore

__all__ = [
    "Clock",
    "Configuration",
    "Entry",
    "FileStore",
    "MemoryStore",
    "Role",
    "Safe",
    "Settings",
    "Token",
    "TokenRequest",
    "TokenSource",
    "TokenStore",
    "open_safe",
    "shared",
]
