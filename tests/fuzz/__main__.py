"""Mutated audio files and requests, until there are enough of them or the time is over. Run by `make fuzz`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz import audio_files
from tests.fuzz.audio_run import fuzz_audio
from tests.fuzz.described_run import fuzz_described
from tests.fuzz.request_run import fuzz_requests, send_one

FOLDER = Path("build") / "fuzz"
AUDIO_SHARE = 0.4  # of the time; what is left of it is for the requests


def main() -> int:
    """Return the exit status: 1 if there is a finding."""
    given = _parse()
    if given.audio_case:
        case = audio_files.make_case(*given.audio_case)
        print(f"{case.name}, {len(case.data)} bytes, pcm {case.pcm}, track {case.audio_track}", flush=True)
        print(audio_files.decode(case))
        return 0
    if given.request_case:
        seed, index = given.request_case
        print(send_one(seed=seed, index=index))
        return 0
    began_s = time.monotonic()
    print(f"seed {given.seed}; what fails is saved in {FOLDER}", flush=True)
    ends_s = began_s + given.minutes * 60
    audio_ends_s = began_s + given.minutes * 60 * (AUDIO_SHARE if given.requests else 1)
    audio = fuzz_audio(seed=given.seed, n_files=given.audio, deadline_s=audio_ends_s, folder=FOLDER)
    reports = [audio]
    if given.requests:
        reports.append(fuzz_requests(seed=given.seed, n_requests=given.requests, deadline_s=ends_s, folder=FOLDER))
    for report, n_wanted in zip(reports, (given.audio, given.requests), strict=False):
        print(report.show())
        if report.n_cases < n_wanted:
            print(f"  the time was over after {report.n_cases:,} of {n_wanted:,}")
    described = ""
    if given.described:
        FOLDER.mkdir(parents=True, exist_ok=True)
        described = fuzz_described(seed=given.seed, duration_s=given.described, folder=FOLDER)
        print(described or f"requests from the description, {given.described} s: all answered as described")
    return int(any(report.findings for report in reports) or bool(described))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--audio", type=int, default=20_000, metavar="FILES", help="default: %(default)s")
    parser.add_argument("--requests", type=int, default=10_000, metavar="REQUESTS", help="default: %(default)s")
    described = "of requests from the API's description, after these; default: %(default)s"
    parser.add_argument("--described", type=int, default=120, metavar="SECONDS", help=described)
    parser.add_argument("--minutes", type=float, default=20.0, help="for both together; default: %(default)s")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: from the clock")
    parser.add_argument("--audio-case", type=_case, metavar="SEED:INDEX", help="decode this one file only")
    parser.add_argument("--request-case", type=_case, metavar="SEED:INDEX", help="send this one request only")
    return parser.parse_args()


def _case(text: str) -> tuple[int, int]:
    seed, _, index = text.partition(":")
    return int(seed), int(index)


if __name__ == "__main__":
    sys.exit(main())
