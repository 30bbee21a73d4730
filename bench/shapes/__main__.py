"""Prints a table of all sizes of Whisper: loading, memory, windows and steps, beside CTranslate2's int8.

Writes checkpoints with random weights into a temporary folder; the largest takes 3 GB there, and as much again for
CTranslate2, whose converter needs some 7 GB of memory. Both engines use all cores and the same instructions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.levels import add_level_option, level_environment
from bench.machine import describe_processor
from bench.shapes.checkpoint import write_checkpoint
from bench.shapes.sizes import SIZES, Size
from hf_asr_endpoint.user_folders import cache_folder
from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model

ENGINES = ("this project", "CTranslate2")
COLUMNS = (
    *("size", "engine", "load\ns", "loaded\nMiB", "window\n10 s, ms", "window\n30 s, ms"),
    *("step\n1 row, ms", "step\n8 rows, ms", "step\n16 rows, ms", "peak\nMiB"),
)
CONVERTER_BYTES_PER_WEIGHT = 6  # of the converter's peak: the weights in float16, and copies of them
FREE_MEMORY = 1 << 30  # bytes that are left to others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", help=f"some of {','.join(SIZES)}; by default all that fit into memory")
    add_level_option(parser)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="with 1, times are the processor's")
    parser.add_argument("--no-peer", action="store_true", help="do not measure CTranslate2")
    arguments = parser.parse_args()
    threads = {"OMP_NUM_THREADS": str(arguments.threads)}
    environment = {**os.environ, **level_environment(arguments.cpu_level), **threads}
    processor = describe_processor(arguments.cpu_level)
    table = Table(*COLUMNS, title=f"int8, {arguments.threads} threads on {processor}")
    engines = ENGINES[:1] if arguments.no_peer else ENGINES
    for size in _sizes(arguments.sizes):
        for engine, result in measure(size, engines, cpu_level=arguments.cpu_level, environment=environment):
            table.add_row(size.name, engine, *_cells(result))
    Console(width=130).print(table)


def measure(
    size: Size, engines: tuple[str, ...], *, cpu_level: str, environment: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each engine's name and the values of its `Result`. A first load warms the caches."""
    with tempfile.TemporaryDirectory() as folder:
        directory, converted = Path(folder) / "transformers", Path(folder) / "ctranslate2"
        directory.mkdir()
        write_checkpoint(directory, size, tokenizer_from=_tokenizer_directory())
        for engine in engines:
            if engine == "CTranslate2":
                _convert(directory, converted)
            command = [sys.executable, "-m", "bench.shapes.worker", engine]
            command += [str(converted if engine == "CTranslate2" else directory), "--cpu-level", cpu_level]
            subprocess.run([*command, "--load-only"], env=environment, stdout=subprocess.DEVNULL, check=True)
            completed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            yield engine, json.loads(completed.stdout)


def _sizes(names: str | None) -> list[Size]:
    if names is not None:
        if unknown := [name for name in names.split(",") if name not in SIZES]:
            sys.exit(f"unknown sizes: {', '.join(unknown)}; allowed: {', '.join(SIZES)}")
        return [SIZES[name] for name in names.split(",")]
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") - FREE_MEMORY
    return [size for size in SIZES.values() if size.n_weights * CONVERTER_BYTES_PER_WEIGHT < free]


def _tokenizer_directory() -> Path:
    return resolve_model("embedded:whisper-base", revision=None, cache_dir=cache_folder(), report=lambda _: None)


def _convert(source: Path, target: Path) -> None:
    """In a process of its own, so that its memory is free afterwards."""
    code = (
        "import sys; from ctranslate2.converters import TransformersConverter as C; "
        "C(sys.argv[1], load_as_float16=True, low_cpu_mem_usage=True, copy_files=['tokenizer.json', "
        "'preprocessor_config.json']).convert(sys.argv[2], quantization='int8')"
    )
    subprocess.run([sys.executable, "-c", code, str(source), str(target)], check=True, stdout=subprocess.DEVNULL)


def _cells(result: Mapping[str, Any]) -> list[str]:
    times = [*result["windows_ms"].values(), *result["steps_ms"].values()]
    return [
        f"{result['load_s']:.1f}",
        _mib(result["loaded_mib"]),
        *(f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" for ms in times),
        _mib(result["peak_mib"]),
    ]


def _mib(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    main()
