"""Requests built to cost a server much for little, against one that is running; its own limits must refuse them.

Run by `make bench-attacks URL=http://… PID=…`. Prints for each attack its status, the longest wait of another
client for GET /health, and the memory and disk that the server's process needed beyond what it had. Red is what
exceeds a limit; then the program ends with status 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Table

from bench.attack_bodies import ATTACKS, Attack
from bench.bombs import BOMBS
from bench.peak_memory import peak_rss_mib, reset_peak_rss, rss_mib
from bench.report import NO_VALUE

TIMEOUT_S = 600.0
POLL_INTERVAL_S = 0.01
REST_S = 10.0
MAX_WAIT_MS = 100.0
"""What the longest wait of another client may be."""

MAX_BOMB_S = 2.0  # for each of those that are sent at once: they take turns
MAX_BOMB_MIB = 300.0  # of all of them

WIDTH = 130  # characters
MIB = 2**20


@dataclass(slots=True)
class Outcome:
    """What an attack did to the server. Memory and disk: None where the process is not known."""

    statuses: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0
    longest_wait_ms: float = 0.0
    grown_mib: float | None = None
    disk_mib: float | None = None

    def excesses(self, attack: Attack) -> set[str]:
        """Return which of "status", "wait", and for a bomb "elapsed" and "grown" exceed their limits."""
        exceeded = {
            "status": any(not status.isdigit() or int(status) >= 500 for status in self.statuses),
            "wait": self.longest_wait_ms > MAX_WAIT_MS,
            "elapsed": attack.is_bomb and self.elapsed_s > MAX_BOMB_S * attack.n_at_once,
            "grown": attack.is_bomb and (self.grown_mib or 0.0) > MAX_BOMB_MIB,
        }
        return {name for name, is_exceeded in exceeded.items() if is_exceeded}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--pid", type=int, help="the server's process, whose memory and disk are measured")
    parser.add_argument("--only", default="", help="names of attacks, or parts of them, with commas between")
    arguments = parser.parse_args()
    chosen = [
        attack for attack in (*ATTACKS, *BOMBS) if any(part in attack.name for part in arguments.only.split(","))
    ]
    table = Table(title=f"Attacks on {arguments.url}")
    for column in ("attack", "sent MB", "status", "seconds", "longest /health ms", "memory + MiB", "disk MiB"):
        table.add_column(column, justify="left" if column in ("attack", "status") else "right")
    console = Console(width=WIDTH)
    n_exceeded = 0
    table.add_row("none", "", "", f"{REST_S:g}", f"{_rest(arguments.url):.0f}", "", "", end_section=True)
    for attack in chosen:
        body = attack.make_body()
        outcome = measure(arguments.url, attack, body, pid=arguments.pid)
        n_exceeded += bool(outcome.excesses(attack))
        table.add_row(*_row(attack, len(body), outcome))
        console.print(f"{attack.name}: {', '.join(sorted(set(outcome.statuses)))}")
    console.print(table)
    sys.exit(1 if n_exceeded else 0)


def _rest(url: str) -> float:
    """Return the longest wait in ms of a client that is alone: what the machine itself makes it wait."""
    with _other_client(url) as longest_wait_ms:
        time.sleep(REST_S)
        return longest_wait_ms()


def measure(url: str, attack: Attack, body: bytes, *, pid: int | None) -> Outcome:
    """Send an attack, as often at the same time as it says, while another client asks for the health."""
    outcome = Outcome()
    if pid is not None:
        reset_peak_rss(pid)
    before_mib = None if pid is None else rss_mib(pid)
    with _other_client(url) as longest_wait_ms, ThreadPoolExecutor(attack.n_at_once + 1) as threads:
        started = time.perf_counter()
        answers = [threads.submit(_send, url, attack, body) for _ in range(attack.n_at_once)]
        while not all(answer.done() for answer in answers):
            if pid is not None:
                outcome.disk_mib = max(outcome.disk_mib or 0.0, _deleted_files_mib(pid))
            time.sleep(POLL_INTERVAL_S)
        outcome.elapsed_s = time.perf_counter() - started
        outcome.statuses = [answer.result() for answer in answers]
        outcome.longest_wait_ms = longest_wait_ms()
    if pid is not None and before_mib is not None and (peak_mib := peak_rss_mib(pid)) is not None:
        outcome.grown_mib = peak_mib - before_mib
    return outcome


def _send(url: str, attack: Attack, body: bytes) -> str:
    try:
        answer = requests.post(url + attack.path, data=body, headers=attack.headers, timeout=TIMEOUT_S)
    except requests.RequestException as exc:
        return type(exc).__name__
    return str(answer.status_code)


@contextmanager
def _other_client(url: str) -> Iterator[Callable[[], float]]:
    """Ask for the health again and again from another process; give a function that stops it.

    That function returns the longest wait in ms.
    """
    context = get_context("spawn")  # A process of its own: sending must not make it wait.
    ours, theirs = context.Pipe()
    process = context.Process(target=_ask_for_health, args=(url, theirs))
    process.start()
    ours.recv()  # It has asked for the first time.

    def stop() -> float:
        ours.send(None)
        longest_s: float = ours.recv()
        return longest_s * 1000

    try:
        yield stop
    finally:
        process.terminate()
        process.join()


def _ask_for_health(url: str, connection: Connection) -> None:
    session = requests.Session()
    session.get(f"{url}/health", timeout=TIMEOUT_S)
    connection.send(None)
    longest_s = 0.0
    while not connection.poll(POLL_INTERVAL_S):
        started = time.perf_counter()
        session.get(f"{url}/health", timeout=TIMEOUT_S)
        longest_s = max(longest_s, time.perf_counter() - started)
    connection.send(longest_s)


def _deleted_files_mib(pid: int) -> float:
    """Return the size of the files that a process has open and that have no name any more."""
    n_bytes = 0
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            status = descriptor.stat()
        except OSError:  # It was closed meanwhile.
            continue
        n_bytes += 0 if status.st_nlink else status.st_size
    return n_bytes / MIB


def _row(attack: Attack, n_bytes: int, outcome: Outcome) -> list[str]:
    counts = {status: outcome.statuses.count(status) for status in sorted(set(outcome.statuses))}
    excesses = outcome.excesses(attack)

    def cell(text: str, name: str) -> str:
        return f"[red]{text}[/red]" if name in excesses else text

    return [
        attack.name,
        f"{n_bytes * attack.n_at_once / 1e6:.2f}",
        cell(", ".join(status if n == 1 else f"{n} × {status}" for status, n in counts.items()), "status"),
        cell(f"{outcome.elapsed_s:.1f}", "elapsed"),
        cell(f"{outcome.longest_wait_ms:.0f}", "wait"),
        cell(NO_VALUE if outcome.grown_mib is None else f"{outcome.grown_mib:.0f}", "grown"),
        NO_VALUE if outcome.disk_mib is None else f"{outcome.disk_mib:.0f}",
    ]


if __name__ == "__main__":
    main()
