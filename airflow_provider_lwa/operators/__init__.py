"""Operators, named by the job they do."""
