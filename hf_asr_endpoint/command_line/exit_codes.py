"""What the command returns to the shell."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
"""Some of the work failed."""
EXIT_USAGE = 2
"""A user's mistake: nothing was done."""
EXIT_INTERRUPTED = 130
"""As shells report a process that SIGINT ended."""
