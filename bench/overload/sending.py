"""Requests without waiting for each other, from one thread: an open loop, as strangers make it.

Each request has a connection of its own. The client writes HTTP itself, because it shares the processor with the
server that it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_S = 300.0
PULSE_S = 0.005
MIN_DELAY_S = 0.005
"""Of a pulse: less is what every timer has."""
HEALTH_INTERVAL_S = 0.1
DRIP_INTERVAL_S = 1.0
_ENCODING = "latin-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A recording to send, and the text that it must get."""

    audio: bytes
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The response to one request. status: None where there was none. error: what is wrong with it.

    head_s: from the first attempt to connect to the headers. elapsed_s: to the end. own_delay_s: how long
    this program was kept from looking meanwhile.
    """

    status: int | None
    head_s: float
    elapsed_s: float
    own_delay_s: float = 0.0
    text: str = ""
    has_retry_after: bool = False
    error: str | None = None


class Pulse:
    """Notices when this program is kept from running: by the scheduler, by the whole machine, by its own work.

    The time that a request took includes such delays, and they are not the server's.
    """

    def __init__(self) -> None:
        self.delays: list[tuple[float, float]] = []
        """When a pulse should have come, and when it came."""

    async def beat(self) -> None:
        """Notice delays until cancelled."""
        while True:
            due_s = time.perf_counter() + PULSE_S
            await asyncio.sleep(PULSE_S)
            came_s = time.perf_counter()
            if came_s - due_s > MIN_DELAY_S:
                self.delays.append((due_s, came_s))

    def within_s(self, begin_s: float, end_s: float) -> float:
        """Return the delays between two times, in seconds."""
        total_s = 0.0
        for due_s, came_s in reversed(self.delays):
            if came_s <= begin_s:
                break
            total_s += max(min(came_s, end_s) - max(due_s, begin_s), 0.0)
        return total_s


class Sender:
    """Sends requests to the server at `url`. Used in one event loop."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self.pulse = Pulse()

    async def transcribe(self, sound: Sound) -> Answer:
        """Post a recording. A text other than the expected one is an error."""
        answer = await self.ask("POST", sound.audio)
        if answer.status == 200 and sound.text and answer.text != sound.text:
            return Answer(
                status=200,
                head_s=answer.head_s,
                elapsed_s=answer.elapsed_s,
                error=f"got {answer.text!r}, expected {sound.text!r}",
            )
        return answer

    async def ask(self, method: str, body: bytes = b"", *, path: str = "/") -> Answer:
        """Return the response to one request; a connection that fails is an Answer with an error."""
        began = time.perf_counter()
        head_s = 0.0
        try:
            async with asyncio.timeout(TIMEOUT_S), self._connection() as (reader, writer):
                writer.write(self._head(method, path, len(body)) + body)
                status, headers = await _read_head(reader)
                head_s = time.perf_counter() - began
                content = await reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, TimeoutError, EOFError, ValueError) as exc:
            elapsed_s = time.perf_counter() - began
            return Answer(status=None, head_s=head_s, elapsed_s=elapsed_s, error=f"{type(exc).__name__}: {exc}")
        elapsed_s = time.perf_counter() - began
        if elapsed_s > MIN_DELAY_S:
            await asyncio.sleep(2 * PULSE_S)  # so that a delay which is not over is known
        text = json.loads(content).get("text", "") if method == "POST" else ""
        return Answer(
            status=status,
            head_s=head_s,
            elapsed_s=elapsed_s,
            own_delay_s=self.pulse.within_s(began, began + elapsed_s),
            text=text,
            has_retry_after="retry-after" in headers,
        )

    async def drip(self, sound: Sound, *, stopped: asyncio.Event) -> Answer | None:
        """Upload a byte each second until stopped. Returns a response that comes before that."""
        began = time.perf_counter()
        async with self._connection() as (reader, writer):
            writer.write(self._head("POST", "/", len(sound.audio)))
            responding = asyncio.create_task(_read_head(reader))
            for index in range(len(sound.audio)):
                if stopped.is_set() or responding.done():
                    break
                writer.write(sound.audio[index : index + 1])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), DRIP_INTERVAL_S)
            if not responding.done():
                responding.cancel()
                return None
            elapsed_s = time.perf_counter() - began
            if exc := responding.exception():
                return Answer(status=None, head_s=elapsed_s, elapsed_s=elapsed_s, error=str(exc))
            return Answer(status=responding.result()[0], head_s=elapsed_s, elapsed_s=elapsed_s)

    def _head(self, method: str, path: str, n_bytes: int) -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n"
            f"Content-Length: {n_bytes}\r\n\r\n"
        ).encode()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str]]:
    """Return the status and the headers, with names in lower case. Raises EOFError, ValueError."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode(_ENCODING).split("\r\n")
    fields = (line.partition(":") for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}


async def open_loop(sender: Sender, sounds: Sequence[Sound], *, per_s: float, seconds: float) -> list[Answer]:
    """Send requests at a constant rate, whatever becomes of them; return when all are answered."""
    beating = asyncio.create_task(sender.pulse.beat())
    began = time.perf_counter()
    asking: list[asyncio.Task[Answer]] = []
    for index in range(round(per_s * seconds)):
        await asyncio.sleep(max(began + index / per_s - time.perf_counter(), 0.0))
        asking.append(asyncio.create_task(sender.transcribe(sounds[index % len(sounds)])))
    answers = list(await asyncio.gather(*asking))
    beating.cancel()
    return answers


async def ask_for_health(sender: Sender, *, stopped: asyncio.Event) -> list[Answer]:
    """Ask for the health again and again, each time over a new connection."""
    answers = []
    while not stopped.is_set():
        answers.append(await sender.ask("GET", path="/health"))
        await asyncio.sleep(HEALTH_INTERVAL_S)
    return answers
