"""Phase 7: this machine's processor, if it has the instructions that the kernels use.

Writes whisper-tiny.en's texts to a file whose name ends in -texts.json, next to the lines. Two versions of the
project that compute the same write the same file.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bench.gpu.batch import decode
from bench.gpu.correctness import GREEDY, Clips, load_model, prompt_for, read_windows
from bench.gpu.running import SMALL_LIMIT_FACTOR, Check, Log, round_figures
from bench.gpu.timing import measure
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState
from hf_asr_endpoint.whisper.kernels.processor import levels
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel

TESTS = tuple(f"tests/whisper/{name}" for name in ("kernels", "kv_cache", "model"))
PYTEST = ("-m", "pytest", "-q", "-p", "bench.gpu.stubs", "-p", "no:cacheprovider", "-W", "default")
TESTS_S = 85.0
N_PASSES = 3
N_LEVELS = 2  # of kernels: the fastest of the processor, and the next one
N_WORKERS = 6  # processes of pytest


def run_tests(check: Check, log: Log) -> None:
    """Run the tests of the kernels, with stubs for packages that are not installed."""
    command = [sys.executable, *PYTEST, "--numprocesses", str(2 if check.is_small else N_WORKERS), *TESTS]
    limit_s = TESTS_S * (SMALL_LIMIT_FACTOR if check.is_small else 1)
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    check.out.with_name(f"{check.out.stem}-tests.txt").write_text(f"{done.stdout}\n{done.stderr}")
    lines = [line for line in done.stdout.strip().splitlines() if not line.startswith("SKIPPED")]
    log.write("tests of the kernels", exit_status=done.returncode, last=lines[-6:], errors=done.stderr[-500:])


def run(check: Check, log: Log) -> None:
    file = check.out.with_name(f"{check.out.stem}-texts.json")
    texts: dict[str, Any] = {}
    in_int8: list[tuple[Any, str]] = [("int8", level) for level in levels()[:N_LEVELS]]
    for dtype, level in [*in_int8, ("bfloat16", "auto")] if not check.is_small else [("float32", "auto")]:
        name = dtype if level == "auto" else f"{dtype} at {level}"
        with log.part(name):
            texts[name] = transcribe(check, log, dtype, level, name=name)
            file.write_text(json.dumps(texts, indent=1, ensure_ascii=False))


def transcribe(check: Check, log: Log, dtype: Any, level: str, *, name: str) -> dict[str, Any]:
    """Decode each clip alone and all clips together; return both results by the clip's name."""
    clips = read_windows(check)
    model, tokenizer, info = load_model(check, device="cpu", dtype=dtype, cpu_level=level)
    prompt = prompt_for(tokenizer)
    alone = [decode(model, [mel], prompt, GREEDY)[0] for mel in clips.mels]
    seconds = []
    for _ in range(N_PASSES):
        started = time.perf_counter()
        for mel in clips.mels:
            decode(model, [mel], prompt, GREEDY)
        seconds.append(time.perf_counter() - started)
    together = decode(model, clips.mels, prompt, GREEDY)
    log.write(
        name,
        info=str(info),
        seconds_for_all_clips=statistics.median(seconds),
        audio_s=sum(clips.seconds),
        alone_as_together=sum(a.sampled == b.sampled for a, b in zip(alone, together, strict=True)),
        **measure_parts(model, clips, prompt),
    )
    return {
        clip: {
            "text": tokenizer.decode(state.sampled),
            "alone": summarize(state),
            "together": summarize(other),
        }
        for clip, state, other in zip(clips.names, alone, together, strict=True)
    }


def measure_parts(model: WhisperSpeechModel, clips: Clips, prompt: DecoderPrompt) -> dict[str, Any]:
    """Return the times of a whole window, of one of 10 s, and of steps with one row and with many."""
    whole = clips.mels[-1].repeat(1, 3)[:, :3_000]
    times: dict[str, Any] = {
        "window_of_30_s_ms": window_ms(model, whole),
        "window_of_10_s_ms": window_ms(model, whole[:, :1_000]),
    }
    for n_rows in (1, len(clips.mels)):
        times[f"step_of_{n_rows}_rows_ms"] = step_ms(model, clips.mels[:n_rows], prompt)
    return times


def window_ms(model: WhisperSpeechModel, mel: Tensor) -> float:
    times = measure(lambda: model.encode({0: mel}), device="cpu", n=10)
    model.free(0)
    return times.wall_ms


def step_ms(model: WhisperSpeechModel, mels: Sequence[Tensor], prompt: DecoderPrompt) -> float:
    """Return the median time of a step, from the fourth token on."""
    states = {
        slot: DecodingState(prompt=prompt, rules=AttemptRules(max_new_tokens=64, min_new_tokens=64))
        for slot in range(len(mels))
    }
    for slot, mel in enumerate(mels):
        model.encode({slot: mel})
    model.prefill(states)
    times = measure(lambda: model.decode_step(states), device="cpu", n=40)
    for slot in states:
        model.free(slot)
    return times.wall_ms


def summarize(state: DecodingState) -> dict[str, Any]:
    return {
        "tokens": state.sampled,
        "logprobs": round_figures(state.logprobs),
        "no_speech_prob": round_figures(state.no_speech_prob),
    }
