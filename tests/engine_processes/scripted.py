"""An engine's process without an engine: each start of it does what a script says. Imports no torch."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

from hf_asr_endpoint.engine_processes.engine import EngineOrder
from hf_asr_endpoint.engine_processes.messages import NotLoaded, State, Stop
from hf_asr_endpoint.types import Activity, Health

READY = State(Health(state="ready"), Activity(slots=4, tokens=10), 0)
LOST = State(Health(state="failed", detail="the device is lost"), Activity(slots=4, tokens=10), 0)


def run(connection: Connection, order: EngineOrder) -> None:
    """order: its choice's names are the script, and its settings' cache_dir keeps count of the starts."""
    starts = order.settings.cache_dir / "starts"
    n_before = len(starts.read_text()) if starts.exists() else 0
    starts.write_text("x" * (n_before + 1))
    match order.choice.names[n_before]:
        case "works":
            connection.send(READY)
        case "loses its device":
            connection.send(READY)
            connection.send(LOST)
        case "refuses":
            connection.send(NotLoaded("no memory"))
        case "dies":
            os._exit(7)
    while not isinstance(connection.recv(), Stop):
        pass
