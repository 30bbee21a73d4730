"""Checks the engine on a GPU: correctness against float32, speed, and synchronizations of host and device.

Run it by `make gpu-check`. On a machine where the project is not installed, run
`python3 -m bench.gpu_check --packed FOLDER` with a folder that `bench.gpu.packed` has written. Prints a line of
JSON for each finding.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from bench.gpu.packed import read_model
from bench.gpu.running import Check, Phase, run_groups

PHASES = (
    *("machine", "correct", "tests", "engine", "http", "step", "encoder"),
    *("attention", "waits", "steps", "audio", "processor"),
)
"""What matters most comes first, in case that the time is short."""
LIMIT_S = 480.0
SPINS_BEFORE_SLEEP = 3_000  # the server's setting; see `composition`


def main() -> None:
    arguments = _parser().parse_args()
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS_BEFORE_SLEEP))  # GNU OpenMP reads it when torch is imported.
    began = time.time()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        read_model(arguments.packed, Path(directory))
        check = Check(
            device=arguments.device,
            is_small=arguments.small,
            directory=Path(directory),
            packed=arguments.packed,
            out=arguments.out,
            began=began,
        )
        groups = [[phase for phase in group if phase.name in arguments.phases] for group in _groups()]
        run_groups([group for group in groups if group], check, limit_s=arguments.limit)


def _groups() -> list[list[Phase]]:
    """Return the phases; those of one group may run in parallel.

    Imports torch, but leaves CUDA uninitialized: a forked process could not use it.
    """
    from bench.gpu import correctness, cpu, engine_load, http, machine, steps, synchronizations
    from bench.gpu.parts import attention_phase, audio_phase, encoder_phase, step_phase

    return [
        [Phase(name="machine", limit_s=40, run=machine.run)],
        [
            Phase(name="correct", limit_s=90, run=correctness.run),
            Phase(name="tests", limit_s=90, run=cpu.run_tests),
        ],
        [Phase(name="engine", limit_s=150, run=engine_load.run)],
        [Phase(name="http", limit_s=90, run=http.run)],
        [Phase(name="step", limit_s=80, run=step_phase.run)],
        [Phase(name="encoder", limit_s=50, run=encoder_phase.run)],
        [Phase(name="attention", limit_s=40, run=attention_phase.run)],
        [Phase(name="waits", limit_s=40, run=synchronizations.run)],
        [Phase(name="steps", limit_s=60, run=steps.run)],
        [Phase(name="audio", limit_s=15, run=audio_phase.run)],
        [Phase(name="processor", limit_s=60, run=cpu.run)],
    ]


def _phases(names: str) -> list[str]:
    chosen = names.split(",")
    if unknown := sorted(set(chosen) - set(PHASES)):
        raise argparse.ArgumentTypeError(f"unknown phase {unknown[0]!r}; allowed: {', '.join(PHASES)}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packed", type=Path, required=True, help="folder that bench.gpu.packed has written")
    parser.add_argument(
        "--out", type=Path, default=Path("gpu-check.jsonl"), help="file that lines are appended to"
    )
    parser.add_argument(
        "--phases",
        type=_phases,
        default=list(PHASES),
        metavar="A,B,…",
        help=f"phases to run, of {', '.join(PHASES)}",
    )
    parser.add_argument(
        "--limit", type=float, default=LIMIT_S, metavar="SECONDS", help="for all phases together (%(default)g)"
    )
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: try the script without a GPU"
    )
    parser.add_argument("--small", action="store_true", help="small shapes and few repetitions")
    return parser


if __name__ == "__main__":
    main()
