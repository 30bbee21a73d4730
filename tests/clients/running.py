"""Run a client's script and read what it prints."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from tests.clients.client import Client
from tests.clients.installation import prepare_command

RUN_TIMEOUT_S = 300.0
QUIET = {
    # No client reports to its maker or asks it for prices.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LANGSMITH_TRACING": "false",
}


def run_client(client: Client, *arguments: str) -> dict[str, Any]:
    """Run a client's script and return its JSON: what each call came to, by its name.

    A Python script's call is {"result": …} or {"error": {"class", "message", …}} (python/outcomes.py).
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTHON"))}
    command = [*prepare_command(client), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=RUN_TIMEOUT_S, env=inherited | QUIET
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcomes
