"""Decodes a range of cases in a process of its own, which may crash. Says on standard output what it does.

Lines: "begin INDEX", then "end INDEX OUTCOME" or "failed INDEX TRACEBACK" (as JSON), and at two places "rss MIB".
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import traceback

from bench.peak_memory import rss_mib
from tests.fuzz.audio_files import decode, make_case, make_seeds

WARM_SHARE = 0.1  # of the files, after which memory may not grow any more


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--begin", type=int, required=True)
    parser.add_argument("--end", type=int, required=True)
    given = parser.parse_args()
    make_seeds()
    warm = given.begin + int((given.end - given.begin) * WARM_SHARE)
    for index in range(given.begin, given.end):
        print(f"begin {index}", flush=True)
        try:
            print(f"end {index} {decode(make_case(given.seed, index))}", flush=True)
        except Exception:  # Whatever is not an AsrError is a finding.
            print(f"failed {index} {json.dumps(traceback.format_exc())}", flush=True)
        if index in (warm, given.end - 1):
            gc.collect()
            print(f"rss {rss_mib(os.getpid()) or 0}", flush=True)


if __name__ == "__main__":
    main()
