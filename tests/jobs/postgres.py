"""A PostgreSQL server of Debian's package, on a free port, with its files in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.server import free_port

START_TIMEOUT_S, STOP_TIMEOUT_S = 60.0, 30.0
POLL_INTERVAL_S = 0.02
UNPRIVILEGED = ("postgres", "nobody")
"""Users of whom one runs it instead of root, which it refuses."""

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "16MB"}


def find_programs() -> Path | None:
    """Return the folder of the newest version that is installed."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in found), key=lambda path: int(path.parent.name), default=None)


@contextmanager
def run_postgres(programs: Path) -> Iterator[str]:
    """Yield the URL of an empty database."""
    user = _unprivileged_user()
    folder = tempfile.mkdtemp()
    try:
        if user:
            os.chown(folder, int(user["user"]), int(user["group"]))
        subprocess.run(
            [programs / "initdb", "-D", f"{folder}/data", "-U", "test", "--auth=trust", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **user,
        )
        port = free_port()
        options = [f"--{name}={value}" for name, value in FAST.items()]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", f"{folder}/data", "-p", str(port), "-k", "", *options],
                stdout=log,
                stderr=log,
                cwd=folder,
                **user,
            )
        try:
            url = f"postgresql://test@127.0.0.1:{port}/postgres"
            _wait_until_up(url, server, Path(folder) / "log")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # It ends its connections, and then itself.
            server.wait(STOP_TIMEOUT_S)
    finally:
        shutil.rmtree(folder)


def _unprivileged_user() -> dict[str, Any]:
    """Return arguments of subprocess that make another user of root."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(names[name] for name in UNPRIVILEGED if name in names)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _wait_until_up(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            time.sleep(POLL_INTERVAL_S)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
