"""Sessions in which nobody speaks: what they cost the server, in time and in memory."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import time
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect

from bench.live.streaming import socket_url
from bench.peak_memory import rss_mib
from bench.report import NO_VALUE
from tests.server import Server

RATE = 24_000  # OpenAI's, which has to be brought to Whisper's
PIECE_S = 0.05
SETTLE_S, MEASURED_S = 5.0, 15.0
ROOM_DB = -60.0  # root mean square, of full scale
SOUNDS = {"a muted microphone": None, f"a quiet room, noise of {ROOM_DB:.0f} dB": ROOM_DB}


def measure_silence(server: Server, n_sessions: int) -> Table:
    """Return the share of a core and the memory that sessions take, for each of SOUNDS."""
    table = Table("sound", "sessions", "% of a core", "MiB each", "errors", title="Nobody speaks")
    asyncio.run(_listen(server, 1, level_db=ROOM_DB, seconds=2.0))  # The first one starts threads.
    for sound, level_db in SOUNDS.items():
        table.add_row(sound, str(n_sessions), *asyncio.run(_listen(server, n_sessions, level_db=level_db)))
    return table


async def _listen(
    server: Server, n_sessions: int, *, level_db: float | None, seconds: float = MEASURED_S
) -> tuple[str, str, str]:
    messages = _messages(level_db)
    errors: list[str] = []
    n_sent = [0] * n_sessions
    before_mib = rss_mib(server.process.pid)
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(socket_url(server.url), compression=None))
            for _ in range(n_sessions)
        ]
        tasks = [asyncio.create_task(_watch(socket, errors)) for socket in sockets]
        tasks += [
            asyncio.create_task(_send(socket, messages, n_sent, index=index))
            for index, socket in enumerate(sockets)
        ]
        await asyncio.sleep(SETTLE_S)
        n_before, before_s = sum(n_sent), _cpu_s(server.process.pid)
        await asyncio.sleep(seconds)
        used_s = _cpu_s(server.process.pid) - before_s
        sent_s = (sum(n_sent) - n_before) * PIECE_S / n_sessions  # less than the time where the machine is busy
        after_mib = rss_mib(server.process.pid)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    mib = (
        NO_VALUE
        if None in (before_mib, after_mib)
        else f"{((after_mib or 0) - (before_mib or 0)) / n_sessions:.1f}"
    )
    return f"{100 * used_s / sent_s:.1f}", mib, str(len(errors))


def _messages(level_db: float | None) -> list[str]:
    """Return ten seconds of appends."""
    noise = np.random.default_rng(0).standard_normal(10 * RATE) * (
        0.0 if level_db is None else 10 ** (level_db / 20)
    )
    samples = (noise * 32_767).round().astype("<i2").tobytes()
    n = round(PIECE_S * RATE) * 2
    pieces = (base64.b64encode(samples[begin : begin + n]).decode() for begin in range(0, len(samples), n))
    return [json.dumps({"type": "input_audio_buffer.append", "audio": audio}) for audio in pieces]


async def _send(socket: ClientConnection, messages: list[str], n_sent: list[int], *, index: int) -> None:
    """Send messages as a microphone has them, and count them at the session's index."""
    began = time.perf_counter() + PIECE_S * index / len(n_sent)
    for message in itertools.cycle(messages):
        await asyncio.sleep(max(0.0, began + n_sent[index] * PIECE_S - time.perf_counter()))
        await socket.send(message)
        n_sent[index] += 1


async def _watch(socket: ClientConnection, errors: list[str]) -> None:
    """Take all events. Whatever is not about the session itself says that somebody speaks."""
    async for text in socket:
        if not (kind := json.loads(text)["type"]).startswith("session."):
            errors.append(kind)


def _cpu_s(pid: int) -> float:
    """Return the seconds that a process has computed (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
