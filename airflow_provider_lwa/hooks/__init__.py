"""Hooks: one connection, its tokens, and calls to its API."""
