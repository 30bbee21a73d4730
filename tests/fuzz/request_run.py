"""Sends mutated requests to a server in a process of its own, and watches its answers, log and memory."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import requests

from bench.peak_memory import rss_mib
from tests.fuzz.dialects import KNOWN_JOB
from tests.fuzz.exchange import Answer, BadAnswer, NoAnswer, exchange
from tests.fuzz.findings import MAX_CASE_S, Finding, Report
from tests.fuzz.request_cases import RequestCase, make_case
from tests.server import Server, run_server

WARM_SHARE = 0.2  # of the requests, after which memory may not grow any more
PROGRESS = 1_000  # requests between two lines of progress
SETTLE_S = 10.0  # for jobs to end
MAX_LOG_CHARACTERS = 2_000
SLOW = "no answer in time beside others"

FLAGS = (
    *("--model", "embedded:whisper-tiny.en", "--served-model-names", "openai/whisper-tiny.en"),
    *("--max-queued-jobs", "20", "--job-retention-s", "10"),
    *("--webhook-retry-for-s", "5", "--webhook-timeout-s", "2"),
    *("--upload-idle-timeout-s", "1", "--upload-timeout-s", "5", "--header-timeout-s", "2"),
)

# In a document, or in an event of a stream.
_JOB = re.compile(rb'"request_id":\s*"(?P<id>R[0-9a-f]{32})"')

# Other lines may have come between its own.
_BUG = re.compile(
    r"^Traceback \(most recent call last\):\n(?:.*\n)*?(?P<error>[A-Za-z_][\w.]*(?:Error|Exception|Group)\b.*)$",
    re.MULTILINE,
)


def fuzz_requests(
    *, seed: int, n_requests: int, deadline_s: float, folder: Path, flags: tuple[str, ...] = (), n_clients: int = 6
) -> Report:
    """Send cases 0 to `n_requests` of a seed, until the deadline (of time.monotonic). folder: for what fails.

    flags: more of the server's. n_clients: connections at a time.
    """
    report = Report("request", folder)
    with run_server(*FLAGS, *flags) as server:
        run = _Run(server, report, seed=seed, n_requests=n_requests, deadline_s=deadline_s)
        began_s = time.monotonic()
        with ThreadPoolExecutor(n_clients) as clients:
            sending = [clients.submit(run.send_all) for _ in range(n_clients)]
        for one in sending:
            one.result()  # A client that has failed leaves the rest unsent.
        report.duration_s = time.monotonic() - began_s
        run.repeat_slow()
        run.check_server()
    return report


def send_one(*, seed: int, index: int) -> str:
    """Send one case to a new server; return the answer, and the server's log."""
    with run_server(*FLAGS) as server:
        case = make_case(seed, index)
        try:
            answer = exchange(_address(server), case)
            shown = f"{answer.outcome} {answer.body.decode('utf-8', 'replace')}"
        except BadAnswer as exc:
            shown = f"FINDING: {exc}"
        return f"{case.data!r}, then {case.ending}\n\n{shown}\n\n{server.log.read_text()}"


def bugs_in(log: str) -> dict[str, str]:
    """Return the tracebacks in a log, one for each error."""
    return {found["error"]: found[0] for found in _BUG.finditer(log)}


class _Run:
    """What the clients' threads share."""

    def __init__(self, server: Server, report: Report, *, seed: int, n_requests: int, deadline_s: float) -> None:
        self._server = server
        self._address = _address(server)
        self._report = report
        self._seed = seed
        self._n_requests = n_requests
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._next = 0
        self._last_job = KNOWN_JOB
        self._slow: list[tuple[int, RequestCase]] = []
        self._warm_mib: float | None = None

    def send_all(self) -> None:
        """Send cases until there are no more, the time is over, or the server is dead."""
        while (index := self._take()) is not None:
            case = make_case(self._seed, index)
            case = replace(case, data=case.data.replace(KNOWN_JOB, self._last_job))
            try:
                answer = exchange(self._address, case)
                self._note_job(index, answer)
                outcome = answer.outcome
            except NoAnswer:
                outcome = SLOW
                with self._lock:
                    self._slow.append((index, case))
            except (BadAnswer, OSError) as exc:
                outcome = "finding"
                with self._lock:
                    self._report.add_finding(str(exc), seed=self._seed, index=index, data=case.data)
            with self._lock:
                self._report.outcomes[outcome] += 1

    def _take(self) -> int | None:
        """Return the index of the next case."""
        with self._lock:
            index = self._next
            is_over = index >= self._n_requests or time.monotonic() > self._deadline_s
            if is_over or self._server.process.poll() is not None:
                return None
            self._next += 1
            if self._warm_mib is None and index >= self._n_requests * WARM_SHARE:
                self._warm_mib = rss_mib(self._server.process.pid)
            if index and index % PROGRESS == 0:
                n_findings = len(self._report.findings)
                print(f"requests: {index:,} of {self._n_requests:,}, {n_findings} findings", flush=True)
            return index

    def _note_job(self, index: int, answer: Answer) -> None:
        """Remember the job that an answer names; end every second one, so that the queue has room."""
        if answer.outcome in ("200", "202") and (found := _JOB.search(answer.body)):
            self._last_job = found["id"]
            if answer.outcome == "202" and index % 2:
                head = b"DELETE /v1/requests/%b HTTP/1.1\r\nHost: x\r\n\r\n" % found["id"]
                exchange(self._address, RequestCase(data=head, ending="wait", n_pieces=1))

    def repeat_slow(self) -> None:
        """Send those without an answer again, each alone: some ask for much work, on cores that others use too."""
        for index, case in self._slow:
            try:
                exchange(self._address, case)
            except (BadAnswer, OSError) as exc:
                self._report.add_finding(str(exc), seed=self._seed, index=index, data=case.data)

    def check_server(self) -> None:
        """Note a server that is dead, does not answer, has logged a bug, or has grown."""
        if self._server.process.poll() is None:
            time.sleep(SETTLE_S if self._warm_mib is not None and self._n_requests > PROGRESS else 0)
            try:
                answer = requests.get(f"{self._server.url}/health", timeout=MAX_CASE_S)
                if answer.status_code != 200:
                    self._add(f"at the end, /health has the status {answer.status_code}")
            except requests.RequestException as exc:
                self._add(f"at the end, /health does not answer: {exc}")
            now_mib = rss_mib(self._server.process.pid)
            if now_mib is not None and self._warm_mib is not None:
                self._report.note_growth([now_mib - self._warm_mib])
        else:
            self._add(f"the server ended with status {self._server.process.returncode} before case {self._next}")
        self._check_log()

    def _check_log(self) -> None:
        log = self._server.log.read_text(errors="replace")
        for error, bug in bugs_in(log).items():
            self._add(f"the server has logged a bug, {error}: …{bug[-MAX_LOG_CHARACTERS:]}")
        if self._report.findings:
            self._report.folder.mkdir(parents=True, exist_ok=True)
            (self._report.folder / f"server-{self._seed}.log").write_text(log)

    def _add(self, what: str) -> None:
        self._report.findings.append(Finding(part="request", what=what))


def _address(server: Server) -> tuple[str, int]:
    url = urlsplit(server.url)
    assert url.hostname is not None
    assert url.port is not None
    return url.hostname, url.port
