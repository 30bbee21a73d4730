"""A server that is offered ten times what it can do, and one whose uploads are slow. Run by `make bench-overload`.

What the server can do is measured before and after, with clients that keep it busy: other programs use the same
processor. In between, requests come at ten times this rate, whatever becomes of them. Each must get its text, or
429 at once, and none may wait longer than the server allows. GET /health under the same load shows how long
anything takes that needs no work.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.engines.server import environment
from bench.load_result import percentile
from bench.overload.evaluation import (
    ANSWER_COLUMNS,
    Capacity,
    answer_row,
    mean_capacity,
    overload_bars,
    slow_upload_bar,
)
from bench.overload.sending import Answer, Sender, Sound, ask_for_health, open_loop
from bench.peak_memory import cpu_s
from bench.recordings import duration_s, short_clips
from bench.report import NO_VALUE
from bench.weights import MODELS
from tests.server import run_server

CLIP_S = 10.0
N_CLIPS = 8
N_CLIENTS = 8
"""With which the server's slots are full, and nothing waits."""
N_SLOW = 64
N_FAST = 20
SLOW_HEAD_START_S = 3.0
WIDTH = 130  # characters


def main() -> None:
    arguments = _parser().parse_args()
    clips = sorted((clip.path for clip in short_clips(arguments.speech)), key=_distance)[:N_CLIPS]
    settings = environment(max_concurrent_requests=arguments.places, max_wait_s=arguments.max_wait_s)
    with run_server("--model", arguments.model, env=settings) as server:
        pid = server.process.pid
        sounds = asyncio.run(_texts(server.url, clips))
        before = asyncio.run(_measure(server.url, pid, sounds, arguments))
        per_s = arguments.times * before.requests_per_s
        used_s = cpu_s(pid)
        answers, healths = asyncio.run(_overload(server.url, sounds, per_s, arguments.seconds))
        n_accepted = sum(answer.status == 200 for answer in answers)
        cpu_each_s = _each(used_s, cpu_s(pid), n_accepted)
        after = asyncio.run(_measure(server.url, pid, sounds, arguments))
        alone, fast, slow = asyncio.run(_slow_uploads(server.url, sounds))
    capacity = mean_capacity(before, after)
    console, table = Console(width=WIDTH), Table(*ANSWER_COLUMNS)
    limits = f"{arguments.places} places, a wait of {arguments.max_wait_s:g} s at most"
    table.title = f"{per_s:.1f} requests/s for {arguments.seconds:g} s; {limits}"
    cpu = NO_VALUE if cpu_each_s is None else f"{cpu_each_s:.2f}"
    console.print(f"before: {before}\nafter: {after}\noverload: {n_accepted} accepted, {cpu} CPU s each")
    table.add_row(*answer_row("accepted", [answer for answer in answers if answer.status == 200]))
    table.add_row(*answer_row("429", [answer for answer in answers if answer.status == 429]))
    table.add_row(*answer_row("GET /health meanwhile", healths), end_section=True)
    table.add_row(*answer_row("a client alone", alone))
    table.add_row(*answer_row(f"beside {N_SLOW} slow uploads", fast))
    console.print(table)
    bars = [*overload_bars(answers, capacity, max_wait_s=arguments.max_wait_s), slow_upload_bar(fast, slow)]
    for bar in bars:
        console.print(str(bar), markup=False)
    sys.exit(0 if all(bar.holds for bar in bars) else 1)


def _distance(path: Path) -> float:
    """Return how far a recording is from the length at which all are about equal work, in seconds."""
    return abs(duration_s(path) - CLIP_S)


async def _texts(url: str, clips: Sequence[Path]) -> list[Sound]:
    """Return the recordings with the texts that they get, one after the other."""
    sender = Sender(url)
    audios = [clip.read_bytes() for clip in clips]
    return [Sound(audio=audio, text=(await sender.ask("POST", audio)).text) for audio in audios]


async def _measure(url: str, pid: int, sounds: Sequence[Sound], arguments: argparse.Namespace) -> Capacity:
    """Return what the server can do now."""
    sender = Sender(url)
    alone = [await sender.transcribe(sound) for sound in sounds]
    used_s, began = cpu_s(pid), time.perf_counter()

    async def ask(index: int) -> list[Answer]:
        answers: list[Answer] = []
        while time.perf_counter() < began + arguments.capacity_seconds:
            answers.append(await sender.transcribe(sounds[(index + len(answers)) % len(sounds)]))
        return answers

    by_client = await asyncio.gather(*(ask(index) for index in range(N_CLIENTS)))
    elapsed_s = time.perf_counter() - began
    answers = [answer for answers in by_client for answer in answers]
    for answer in (*alone, *answers):
        if answer.status != 200 or answer.error:
            raise RuntimeError(f"without overload, a request failed: {answer}")
    return Capacity(
        window_s=statistics.median(answer.elapsed_s for answer in alone),
        requests_per_s=len(answers) / elapsed_s,
        p95_s=percentile([answer.elapsed_s for answer in answers], 95),
        cpu_each_s=_each(used_s, cpu_s(pid), len(answers)),
    )


def _each(begin_s: float | None, end_s: float | None, n: int) -> float | None:
    return None if begin_s is None or end_s is None or not n else (end_s - begin_s) / n


async def _overload(
    url: str, sounds: Sequence[Sound], per_s: float, seconds: float
) -> tuple[list[Answer], list[Answer]]:
    """Return the answers to the overload, and those of GET /health while it comes."""
    sender, stopped = Sender(url), asyncio.Event()
    gc.disable()  # With ten thousand tasks, each pass of it stops the client for up to 90 ms.
    asking = asyncio.create_task(ask_for_health(sender, stopped=stopped))
    answers = await open_loop(sender, sounds, per_s=per_s, seconds=seconds)
    stopped.set()
    return answers, await asking


async def _slow_uploads(
    url: str, sounds: Sequence[Sound]
) -> tuple[list[Answer], list[Answer], list[Answer | None]]:
    """Return the answers to a client alone, to the same beside slow uploads, and what became of those."""
    sender, stopped = Sender(url), asyncio.Event()

    async def ask() -> list[Answer]:
        return [await sender.transcribe(sounds[index % len(sounds)]) for index in range(N_FAST)]

    alone = await ask()
    dripping = [asyncio.create_task(sender.drip(sounds[0], stopped=stopped)) for _ in range(N_SLOW)]
    await asyncio.sleep(SLOW_HEAD_START_S)
    fast = await ask()
    stopped.set()
    return alone, fast, list(await asyncio.gather(*dripping))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="the weights (default: %(default)s)")
    parser.add_argument(
        "--places", type=int, default=64, help="--max-concurrent-requests of the server (default: %(default)s)"
    )
    parser.add_argument("--max-wait-s", type=float, default=10.0, help="that of the server (default: %(default)s)")
    parser.add_argument(
        "--times", type=float, default=10.0, help="how many times more than it can do (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="of overload (default: %(default)s)")
    parser.add_argument(
        "--capacity-seconds", type=float, default=30.0, help="in which to measure it (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    main()
