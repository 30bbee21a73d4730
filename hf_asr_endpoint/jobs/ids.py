"""The names of jobs and of leases."""

from __future__ import annotations

import secrets

ID = r"R[0-9a-f]{32}"
"""What the id of a job looks like: a regular expression."""


def make_id() -> str:
    """Return the id of a new job. It cannot be guessed: a client needs nothing else to read the result."""
    return f"R{secrets.token_hex(16)}"


def make_lease() -> str:
    """Return the name of a new lease. No two are the same."""
    return secrets.token_hex(16)
