"""Measures faster-whisper int8 with several client threads; prints a line of JSON. Run by `bench.load --peer`."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from bench.clients import Clips, Send, drive
from bench.engines.faster_whisper import load_model
from bench.engines.protocol import EngineOptions
from bench.recordings import short_clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True, help="a CTranslate2 folder")
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--clients", type=int, nargs="+", required=True, help="numbers of client threads")
    parser.add_argument("--seconds", type=float, required=True, help="seconds for each number of threads")
    parser.add_argument("--workers", type=int, default=1, help="num_workers, which share the threads")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of all workers together")
    arguments = parser.parse_args()
    options = EngineOptions(weights=arguments.weights, n_threads=arguments.threads)
    model = load_model(options, compute_type="int8", n_workers=arguments.workers)

    def send(path: Path) -> None:
        segments, _ = model.transcribe(str(path), beam_size=1, language="en")
        "".join(segment.text for segment in segments)

    def connect() -> Send:
        return send

    clips = Clips.of([clip.path for clip in short_clips(arguments.speech)])
    send(clips.paths[0])  # warm-up
    results = [
        drive(connect, clips, n_clients=n_clients, seconds=arguments.seconds) for n_clients in arguments.clients
    ]
    print(json.dumps([asdict(result) for result in results]))


if __name__ == "__main__":
    main()
