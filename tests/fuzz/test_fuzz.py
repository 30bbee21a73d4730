"""A short run of the fuzzers: mutated files and requests get an answer, an error, or a closed connection."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz import audio_files, request_cases
from tests.fuzz.audio_run import fuzz_audio
from tests.fuzz.described_run import fuzz_described
from tests.fuzz.findings import Report
from tests.fuzz.request_run import fuzz_requests

SEED = 20
N_FILES, N_REQUESTS = 300, 300
TIME_LIMIT_S = 600.0
DESCRIBED_S = 15


def assert_no_findings(report: Report, n_cases: int) -> None:
    """All but growth of memory, which only a longer run can tell from what a first use takes."""
    assert report.n_cases == n_cases
    assert [finding for finding in report.findings if not finding.is_growth] == []


def digest_of_cases() -> str:
    cases = [
        make_case(SEED, index)
        for make_case in (audio_files.make_case, request_cases.make_case)
        for index in range(50)
    ]
    return hashlib.sha256(repr(cases).encode()).hexdigest()


def test_mutated_files_are_decoded_or_refused(tmp_path: Path) -> None:
    deadline_s = time.monotonic() + TIME_LIMIT_S
    report = fuzz_audio(seed=SEED, n_files=N_FILES, deadline_s=deadline_s, folder=tmp_path)
    assert_no_findings(report, N_FILES)
    assert report.outcomes[audio_files.DECODED] > N_FILES / 4


def test_mutated_requests_are_answered(tmp_path: Path, cache_dir: Path) -> None:
    report = fuzz_requests(
        seed=SEED,
        n_requests=N_REQUESTS,
        deadline_s=time.monotonic() + TIME_LIMIT_S,
        folder=tmp_path,
        flags=("--cache-dir", str(cache_dir)),
    )
    assert_no_findings(report, N_REQUESTS)
    assert report.outcomes["200"] > N_REQUESTS / 20


def test_described_requests_are_answered_as_described(tmp_path: Path, cache_dir: Path) -> None:
    flags = ("--cache-dir", str(cache_dir))
    assert fuzz_described(seed=SEED, duration_s=DESCRIBED_S, folder=tmp_path, flags=flags) == ""


def test_a_case_depends_on_its_seed_and_index_alone() -> None:
    """So that a failing one can be run again, in another process and at another time."""
    program = "from tests.fuzz.test_fuzz import digest_of_cases; print(digest_of_cases())"
    elsewhere = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == digest_of_cases()
