"""Loads one model as a Transcriber. It takes settings, and knows neither clients nor other models."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.engine.turns import Turns
from hf_asr_endpoint.model_choice import ModelChoice
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.whisper.process import limit_malloc_arenas, switch_threads_often, trim_heap

logger = logging.getLogger(__name__)

_FIRST_LOAD = threading.Lock()  # taken by the first load, for good

SPINS_BEFORE_SLEEP = 3_000  # some tens of microseconds, about the time between two parallel regions of a step
CHUNKS_AHEAD = 4  # of a recording: chunks that wait, in addition to those in the slots


def load_transcriber(
    choice: ModelChoice, settings: Settings, report: Callable[[str], None], *, turns: Turns | None = None
) -> Transcriber:
    """Download or convert a model if necessary, load it and return a Transcriber. Takes seconds to minutes.

    report: called before each slow step with its name, such as "torch to be imported". Clients see it in
    `/health`, so it must not show a path. turns: of all models that compute on the CPU's cores. Raises
    ModelUnavailable.
    """
    report("torch to be imported")
    _prepare_process()
    # Imported here, because that takes seconds, in which the server already responds to GET /health.
    from hf_asr_endpoint.engine.engine import Engine
    from hf_asr_endpoint.transcription.batching import BatchingTranscriber
    from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model
    from hf_asr_endpoint.whisper.loading import load_speech_model

    _freeze_imports()
    directory = resolve_model(choice.model, revision=choice.revision, cache_dir=settings.cache_dir, report=report)
    logger.info("loading the weights in %s", directory)
    report("the weights to be loaded")
    model, tokenizer, info = load_speech_model(
        directory,
        device=choice.device,
        dtype=choice.dtype,
        slots=choice.slots,
        cpu_level=choice.cpu_level,
        cache_dir=settings.cache_dir,
    )
    batching = BatchingTranscriber(
        Engine(
            model,
            slots=model.slots,
            windows_per_step=info.windows_per_step,
            turns=turns if info.device == "cpu" else None,
        ),
        tokenizer,
        info,
        max_requests=settings.max_concurrent_requests + settings.max_running_jobs,
        max_ahead=model.slots + CHUNKS_AHEAD,
        encoder_padding_s=settings.encoder_padding_s,
        max_beams=settings.max_beams,
        max_waiting_audio_s=settings.max_waiting_audio_s,
    )
    report("the engine to warm up")
    batching.warm_up(slots=model.slots)
    trim_heap()  # Return the memory that only loading needed.
    kernels = f", kernels for {info.cpu_level}" if info.cpu_level else ""
    logger.info(
        "ready: %s on %s in %s, slots: %d%s, threads: %d",
        choice.model,
        info.device,
        info.dtype,
        model.slots,
        kernels,
        info.n_threads,
    )
    return batching


def _freeze_imports() -> None:
    """Leave what the imports have made out of garbage collections, once: it stays as long as the process.

    A full collection looked at 216,000 objects, and nothing was answered meanwhile: 150 to 180 ms (Zen 3). Only
    once, because what belongs to a model must be collected when that is unloaded.
    """
    if _FIRST_LOAD.acquire(blocking=False):
        gc.collect()
        gc.freeze()


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
