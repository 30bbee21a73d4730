"""Requests that schemathesis makes from the server's own description, valid ones and others.

None may be answered with a bug, with a status, media type or body that is not described.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz.request_run import FLAGS
from tests.server import run_server

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
PHASES = ("coverage", "fuzzing")
PROGRAM = Path(sys.executable).with_name("schemathesis")


def fuzz_described(*, seed: int, duration_s: int, folder: Path, flags: tuple[str, ...] = ()) -> str:
    """Return what was found; "" if there is nothing. folder: for the program's files. flags: the server's."""
    with run_server(*FLAGS, *flags) as server:
        command = (
            *(str(PROGRAM), "run", f"{server.url}/openapi.json", "--no-color", "--continue-on-failure"),
            *("--max-time", str(duration_s), "--seed", str(seed), "--generation-database", "none"),
            *("--phases", ",".join(PHASES), "--checks", ",".join(CHECKS)),
        )
        environment = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.fuzz.described_hooks",
            "PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))),
        }
        ran = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=duration_s + 120,
            check=False,
        )
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr
