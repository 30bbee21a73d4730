"""Loads one model as a Transcriber. It takes settings, and knows neither clients nor other models."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypedDict, cast, get_args

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.engine.turns import Turns
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.model_choice import ModelChoice
from hf_asr_endpoint.setting_types import Device, EngineChoice
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Engine as EngineName
from hf_asr_endpoint.types import ModelInfo
from hf_asr_endpoint.whisper.process import (
    keep_freed_memory,
    limit_malloc_arenas,
    switch_threads_often,
    trim_heap,
)

logger = logging.getLogger(__name__)

_FIRST_LOAD = threading.Lock()  # taken by the first load, for good
_LOADING = threading.Lock()
"""Held while a model is loaded. Libraries change settings of the whole process meanwhile: transformers changes
torch's default dtype, and numba the folder of compiled kernels. Each puts back what it found, which would be the
other one's setting if two models were loaded at once."""

SPINS_BEFORE_SLEEP = 3_000  # some tens of microseconds, about the time between two parallel regions of a step
YOUNG_OBJECTS = 5_000  # more made than ended since the last garbage collection: then comes the next
CHUNKS_AHEAD = 4  # of a recording: chunks that wait, in addition to those in the slots


def load_transcriber(
    choice: ModelChoice, settings: Settings, report: Callable[[str], None], *, turns: Turns | None = None
) -> Transcriber:
    """Download or convert a model if necessary, load it and return a Transcriber. Takes seconds to minutes.

    The engine is in this process; `engine_processes` has those that are not. report: called before each slow step
    with its name, such as "torch to be imported". Clients see it in `/health`, so it must not show a path. turns:
    of all models that compute on the CPU's cores. Raises ModelUnavailable, also for a device that needs a process.
    """
    report("torch to be imported")
    _prepare_process()
    # Imported here, because that takes seconds, in which the server already responds to GET /health.
    from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model

    directory = resolve_model(choice.model, revision=choice.revision, cache_dir=settings.cache_dir, report=report)
    engine, reason = choose_engine(choice.engine, directory)
    logger.info("%s is computed by the %s engine: %s", choice.model, engine, reason)
    load = _load_native if engine == "native" else _load_transformers
    with _alone(report):
        transcriber, info = load(directory, choice, settings, report, reason, turns)
    trim_heap()  # Return the memory that only loading needed.
    keep_freed_memory()
    kernels = f", kernels for {info.cpu_level}" if info.cpu_level else ""
    logger.info(
        "ready: %s on %s in %s, slots: %d%s, threads: %d",
        choice.model,
        info.device,
        info.dtype,
        transcriber.activity().slots,
        kernels,
        info.n_threads,
    )
    return transcriber


def count_gpus() -> int:
    """Return how many GPUs CUDA shows to this process. Imports torch: takes seconds."""
    _prepare_process()
    from hf_asr_endpoint.whisper.checkpoint.loader import count_cuda_devices

    return count_cuda_devices()


def choose_engine(wanted: EngineChoice, directory: Path) -> tuple[EngineName, str]:
    """Return which engine computes a directory's model, and why. Raises ModelUnavailable."""
    from hf_asr_endpoint.whisper.checkpoint.loader import explain_unsupported

    if wanted == "transformers":
        return "transformers", "--engine is transformers"
    if wanted == "native":
        return "native", "--engine is native"
    obstacle = explain_unsupported(directory)
    if obstacle is None:
        return "native", "it is a Whisper model that the native engine computes"
    return "transformers", f"the native engine does not compute it, because {obstacle}"


@contextmanager
def _alone(report: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other model is being loaded."""
    if not _LOADING.acquire(blocking=False):
        report("another model to be loaded")
        _LOADING.acquire()
    try:
        yield
    finally:
        _LOADING.release()


def _load_native(
    directory: Path,
    choice: ModelChoice,
    settings: Settings,
    report: Callable[[str], None],
    reason: str,
    turns: Turns | None,
) -> tuple[Transcriber, ModelInfo]:
    from hf_asr_endpoint.engine.engine import Engine
    from hf_asr_endpoint.preparation_processes.start import beginning_preparations, choose_n_processes
    from hf_asr_endpoint.transcription.batching import BatchingTranscriber
    from hf_asr_endpoint.whisper.checkpoint.loader import choose_device
    from hf_asr_endpoint.whisper.loading import load_speech_model

    _freeze_imports()
    device = _device(choice)
    n_processes = choose_n_processes(settings.preparation_processes, device=choose_device(device).type)
    with beginning_preparations(n_processes, log_format=settings.log_format) as prepare:
        logger.info("loading the weights in %s", directory)
        report("the weights to be loaded")
        model, tokenizer, info = load_speech_model(
            directory,
            device=device,
            dtype=choice.dtype,
            slots=choice.slots,
            cpu_level=choice.cpu_level,
            cache_dir=settings.cache_dir,
        )
        info = replace(info, engine_reason=reason)
        batching = BatchingTranscriber(
            Engine(
                model,
                slots=model.slots,
                windows_per_step=info.windows_per_step,
                sequences_per_step=info.sequences_per_step,
                turns=turns if info.device == "cpu" else None,
            ),
            tokenizer,
            info,
            encoder_padding_s=settings.encoder_padding_s,
            max_step_s=settings.max_step_s,
            prepare=prepare,
            **_limits(model.slots, settings),
        )
        report("the engine to warm up")
        batching.warm_up(slots=model.slots)
    return batching, info


def _load_transformers(
    directory: Path,
    choice: ModelChoice,
    settings: Settings,
    report: Callable[[str], None],
    reason: str,
    turns: Turns | None,
) -> tuple[Transcriber, ModelInfo]:
    if choice.cpu_level != "auto":
        raise ModelUnavailable(
            f"cpu level {choice.cpu_level!r} is for the native engine, but {choice.model} is computed by the "
            f"transformers engine ({reason}); allowed: auto"
        )
    report("transformers to be imported")
    from hf_asr_endpoint.engine.engine import Engine
    from hf_asr_endpoint.preparation_processes.start import beginning_preparations, choose_n_processes
    from hf_asr_endpoint.transcription.batching import BatchingTranscriber
    from hf_asr_endpoint.transformers_models.limits import check_options
    from hf_asr_endpoint.transformers_models.loading import load_transformers_model
    from hf_asr_endpoint.transformers_models.transcriber import TransformersTranscriber
    from hf_asr_endpoint.transformers_models.whisper import WHISPER_ABILITIES
    from hf_asr_endpoint.whisper.loading import CPU_SLOTS

    _freeze_imports()
    logger.info("loading the weights in %s", directory)
    report("the weights to be loaded")
    loaded = load_transformers_model(directory, device=_device(choice), dtype=choice.dtype)
    info = replace(loaded.info, engine_reason=reason)
    shared_turns = turns if info.device == "cpu" else None
    slots = CPU_SLOTS if choice.slots == "auto" else choice.slots
    limits = _limits(slots, settings)
    if loaded.family is not None:
        if settings.preparation_processes not in ("auto", 0):
            raise ModelUnavailable(
                f"--preparation-processes is {settings.preparation_processes}, but {choice.model} is not a "
                "Whisper, and its audio is prepared by the threads of its requests; allowed: auto, 0"
            )
        return TransformersTranscriber(loaded.family, info, max_batch=slots, turns=shared_turns, **limits), info
    assert loaded.whisper is not None
    assert loaded.tokenizer is not None
    # All windows that wait are encoded at once, because what is decoded is decoded to its end.
    engine = Engine(loaded.whisper, slots=slots, windows_per_step=slots, turns=shared_turns)
    n_processes = choose_n_processes(settings.preparation_processes, device=info.device)
    with beginning_preparations(n_processes, log_format=settings.log_format) as prepare:
        return BatchingTranscriber(
            engine,
            loaded.tokenizer,
            info,
            encoder_padding_s=settings.encoder_padding_s,
            check=partial(check_options, abilities=WHISPER_ABILITIES),
            prepare=prepare,
            **limits,
        ), info


def _device(choice: ModelChoice) -> Device:
    if len(choice.devices) > 1 or choice.devices[0] not in get_args(Device):
        raise ModelUnavailable(
            f"the devices of {choice.model} are {','.join(choice.devices)}; allowed here, for one engine in one "
            f"process: {', '.join(get_args(Device))}"
        )
    return cast(Device, choice.devices[0])


class _Limits(TypedDict):
    max_requests: int
    max_ahead: int
    max_beams: int
    max_waiting_audio_s: float
    max_wait_s: float


def _limits(slots: int, settings: Settings) -> _Limits:
    """Return what both Transcribers are limited to."""
    return {
        "max_requests": settings.max_concurrent_requests + settings.max_running_jobs,
        "max_ahead": slots + CHUNKS_AHEAD,
        "max_beams": settings.max_beams,
        "max_waiting_audio_s": settings.max_waiting_audio_s,
        "max_wait_s": settings.max_wait_s,
    }


def _freeze_imports() -> None:
    """Leave what the imports have made out of garbage collections, once: it stays as long as the process.

    A full collection looked at 216,000 objects, and nothing was answered meanwhile: 150 to 180 ms (Zen 3). Only
    once, because what belongs to a model must be collected when that is unloaded.

    Collections are rarer from then on: a message makes some dozens of objects that are in no cycle.
    """
    if _FIRST_LOAD.acquire(blocking=False):
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)


def _prepare_process() -> None:
    """Configure the process before torch is imported: OpenMP's threads wait only briefly before they sleep.

    By default they spin for milliseconds. Anything else that needs a core then makes each step many times slower:
    the thread for which the others spin cannot run. Sleeping at once (OMP_WAIT_POLICY=PASSIVE) would double the
    time of a step with a single sequence, because waking takes time, too.
    """
    switch_threads_often()
    limit_malloc_arenas()
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS_BEFORE_SLEEP))
