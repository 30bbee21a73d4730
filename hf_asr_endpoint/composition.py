"""The composition root: turns settings into the objects that work. Nothing below it sees settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import StorageFailed
from hf_asr_endpoint.subtitles.cues import CueLimits
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.user_folders import data_folder
from hf_asr_endpoint.whisper.checkpoint.weights.embedded import model_names
from hf_asr_endpoint.whisper.process import limit_malloc_arenas, trim_heap

if TYPE_CHECKING:
    from hf_asr_endpoint.jobs.job import JobKind
    from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
    from hf_asr_endpoint.jobs.storage import Storage

logger = logging.getLogger(__name__)

SPINS_BEFORE_SLEEP = 3_000  # some tens of microseconds, about the time between two parallel parts of a step
CHUNKS_AHEAD = 4  # of a recording, waiting beside those in the slots


def served_names(settings: Settings) -> tuple[str, ...]:
    """Return all names of the served model, the one to show first. Raises ModelUnavailable."""
    return tuple(dict.fromkeys((*model_names(settings.model), *settings.served_model_names)))


def request_limits(settings: Settings) -> RequestLimits:
    """Return what a request may ask of the server."""
    return RequestLimits(
        max_audio_bytes=int(settings.max_audio_bytes),
        openai_max_audio_bytes=int(min(settings.openai_max_audio_bytes, settings.max_audio_bytes)),
        max_audio_s=settings.max_audio_s,
        max_concurrent_requests=settings.max_concurrent_requests,
        upload_idle_timeout_s=settings.upload_idle_timeout_s,
    )


def cue_limits(settings: Settings) -> CueLimits:
    """Return how much one cue of a subtitle shows."""
    return CueLimits(max_s=settings.subtitle_max_s, max_characters=settings.subtitle_max_characters)


def open_jobs(settings: Settings, transcriber: Transcriber) -> Jobs | NoJobs:
    """Open the folder that jobs are kept in, and return what runs them.

    Raises StorageFailed when the settings name a folder that cannot be had. When they name none, and the usual
    one cannot be had, the server goes without: most have no use for jobs, and a second one must start as well.
    Raises InvalidParameter for allowed hosts that are none.
    """
    # Imported here, because handler.py has no jobs and does without the packages that they need.
    from hf_asr_endpoint.jobs.addresses import parse_allowed_hosts
    from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
    from hf_asr_endpoint.jobs.limits import JobLimits
    from hf_asr_endpoint.jobs.schedule import RetrySchedule
    from hf_asr_endpoint.jobs.sender import WebhookSender
    from hf_asr_endpoint.jobs.webhook_url import AddressGuard

    allowed = parse_allowed_hosts(settings.webhook_allowed_hosts)
    schedule = RetrySchedule(retry_for_s=settings.webhook_retry_for_s)
    try:
        storage = _open_storage(settings.data_dir or data_folder())
    except StorageFailed as exc:
        if settings.data_dir is not None:
            raise
        logger.warning("this server takes no jobs: %s", exc)
        return NoJobs("this server takes no jobs; its log says why")
    guard = AddressGuard(allowed)
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
    return Jobs(
        storage,
        transcriber,
        kinds=_job_kinds(settings),
        limits=JobLimits(
            max_queued=settings.max_queued_jobs,
            max_running=settings.max_running_jobs,
            max_audio_s=settings.max_audio_s,
            retention_s=settings.job_retention_s,
            max_crashes=settings.max_job_crashes,
        ),
        guard=guard,
        sender=WebhookSender(guard, timeout_s=settings.webhook_timeout_s, secret=secret),
        schedule=schedule,
    )


def _job_kinds(settings: Settings) -> dict[str, JobKind]:
    """Return what each dialect does for its jobs, by the names that jobs give."""
    from hf_asr_endpoint.api.deepinfra.served_model import ServedModel
    from hf_asr_endpoint.api.jobs import deepinfra_kind, openai_kind

    return {
        openai_kind.KIND: openai_kind.OpenAIJobKind(
            model_names=served_names(settings), cue_limits=cue_limits(settings)
        ),
        deepinfra_kind.KIND: deepinfra_kind.DeepInfraJobKind(
            model=ServedModel(names=served_names(settings), revision=settings.revision),
            price_per_s=settings.price_per_s,
        ),
    }


def _open_storage(path: Path) -> Storage:
    """Open the folder and take up what the last server left there. Raises StorageFailed."""
    from hf_asr_endpoint.jobs.data_directory import open_data_directory
    from hf_asr_endpoint.jobs.database import open_database
    from hf_asr_endpoint.jobs.spool import Spool
    from hf_asr_endpoint.jobs.storage import Storage
    from hf_asr_endpoint.jobs.store import JobStore

    directory = open_data_directory(path)
    try:
        # The database first: a broken one is set aside together with the audio that the spool would use.
        store = JobStore(open_database(path))
        storage = Storage(directory, store, Spool(path))
        storage.recover()
        return storage
    except BaseException:
        directory.close()
        raise


def load_transcriber(settings: Settings, report: Callable[[str], None]) -> Transcriber:
    """Get the model, load it and return the engine over it; takes seconds to minutes.

    report: told before each slow step what is being waited for. Raises ModelUnavailable.
    """
    report("torch to be imported")
    _prepare_process()
    # Imported here, because it takes seconds in which the server should already answer GET /health.
    from hf_asr_endpoint.engine.engine import Engine
    from hf_asr_endpoint.transcription.batching import BatchingTranscriber
    from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model
    from hf_asr_endpoint.whisper.speech_model import load_speech_model

    directory = resolve_model(
        settings.model, revision=settings.revision, cache_dir=settings.cache_dir, report=report
    )
    report(f"the weights in {directory} to be loaded")
    model, tokenizer, info = load_speech_model(
        directory, device=settings.device, dtype=settings.dtype, slots=settings.slots, cache_dir=settings.cache_dir
    )
    batching = BatchingTranscriber(
        Engine(model, n_slots=settings.slots),
        tokenizer,
        info,
        n_requests=settings.max_concurrent_requests + settings.max_running_jobs,
        n_ahead=settings.slots + CHUNKS_AHEAD,
        padding_s=settings.encoder_padding_s,
        max_beams=settings.max_beams,
    )
    report("the engine to warm up")
    batching.warm_up(n_slots=settings.slots)
    trim_heap()  # What loading needed for a while.
    logger.info("ready: %s on %s in %s", settings.model, info.device, info.dtype)
    return batching


def _prepare_process() -> None:
    """Prepare the process for torch, before it is imported: its threads wait only briefly before they sleep.

    By default they spin for milliseconds, and whoever else wants a core (audio being decoded, another
    process) makes each step many times slower: the one that is waited for cannot run, since another spins.
    Sleeping at once (OMP_WAIT_POLICY=PASSIVE) doubles a step of a single sequence, for waking takes time.
    """
    limit_malloc_arenas()
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS_BEFORE_SLEEP))
