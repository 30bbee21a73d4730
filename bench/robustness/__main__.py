"""Recordings on which Whisper servers usually fail: each check makes some and asks a server.

Run by `make bench-robustness`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.robustness.checks import CHECKS
from bench.robustness.clips import short_clips
from tests.server import run_server

WIDTH = 130  # characters
MAX_FAULTS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", default="embedded:whisper-base", help="as for hf-asr serve")
    parser.add_argument("--dtype", default="auto", help="as for hf-asr serve (default: %(default)s)")
    parser.add_argument("--every", type=int, default=1, help="use one clip of so many (default: all)")
    parser.add_argument("--checks", default=",".join(CHECKS), help="(default: %(default)s)")
    arguments = parser.parse_args()
    console = Console(width=WIDTH)
    clips = short_clips(arguments.speech, every=arguments.every)
    with run_server("--model", arguments.model, "--dtype", arguments.dtype) as server:
        for name in arguments.checks.split(","):
            report = CHECKS[name](server.url, clips)
            table = Table(*report.columns, title=f"{name}: {arguments.model}, {arguments.dtype}")
            for row in report.rows:
                table.add_row(*row)
            console.print(table)
            for fault in report.faults[:MAX_FAULTS]:
                console.print(f"  {fault}", markup=False, highlight=False)


if __name__ == "__main__":
    main()
