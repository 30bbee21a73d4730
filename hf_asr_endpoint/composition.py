"""The composition root: turns settings into the services that the application, or a script, works with.

Nothing below this module sees settings: lower layers take explicit keyword arguments. It knows neither HTTP nor
the command line.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.api_keys import ApiKeys, read_entries
from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.api.services import Services
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import InvalidSettings, StorageFailed
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.transcription.deferred import DeferredTranscriber
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.user_folders import data_folder
from hf_asr_endpoint.whisper.checkpoint.weights.reference import is_path, model_names
from hf_asr_endpoint.whisper.process import limit_malloc_arenas, switch_threads_often, trim_heap

if TYPE_CHECKING:
    from hf_asr_endpoint.jobs.job import JobKind
    from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
    from hf_asr_endpoint.jobs.store import JobStore

logger = logging.getLogger(__name__)

SPINS_BEFORE_SLEEP = 3_000  # some tens of microseconds, about the time between two parallel regions of a step
CHUNKS_AHEAD = 4  # of a recording: chunks that wait, in addition to those in the slots


def open_services(settings: Settings, *, on_load_failure: Callable[[Exception], None]) -> Services:
    """Return the services of a server. Their `start` begins to load the model, in a thread of its own.

    on_load_failure: called in that thread, once, when loading fails.
    Raises ModelUnavailable, StorageFailed and InvalidParameter for settings that cannot be followed.
    """
    model = served_model(settings)
    access = open_access(settings)
    transcriber = DeferredTranscriber(
        lambda report: load_transcriber(settings, report), on_failure=on_load_failure
    )
    return Services(
        transcriber=transcriber,
        model=model,
        limits=request_limits(settings),
        cue_limits=cue_limits(settings),
        jobs=open_jobs(settings, model, transcriber, access),
        price_per_s=settings.price_per_s,
        access=access,
        cors_origins=settings.cors_origins,
        root_path=settings.root_path,
        start=transcriber.start,
    )


def load_services(settings: Settings) -> Services:
    """Load the model, and return the services of a handler, which has no jobs and sees no keys.

    Raises ModelUnavailable, and InvalidSettings for API keys, which it would ignore.
    """
    if settings.api_keys is not None or settings.api_keys_file is not None:
        raise InvalidSettings("API keys are for `hf-asr serve`; before a handler, the platform asks for its own")
    return Services(
        transcriber=load_transcriber(settings, lambda step: logger.info("waiting for %s", step)),
        model=served_model(settings),
        limits=request_limits(settings),
        cue_limits=cue_limits(settings),
        price_per_s=settings.price_per_s,
    )


def served_model(settings: Settings) -> ServedModel:
    """Return the model's names and version. Raises ModelUnavailable for an embedded model that does not exist.

    A directory's path is not among the names: clients must not learn, or probe, where files are on the server.
    """
    names = model_names(settings.model)
    own_names = names[:1] if is_path(settings.model) else names
    return ServedModel(
        names=tuple(dict.fromkeys((*own_names, *settings.served_model_names))), revision=settings.revision
    )


def open_access(settings: Settings) -> Access | None:
    """Return who may use the server, None for everybody. Raises InvalidSettings for keys that cannot be used."""
    variable = None if settings.api_keys is None else settings.api_keys.get_secret_value()
    file = settings.api_keys_file
    if variable is None and file is None:
        return None
    return Access(keys=ApiKeys(lambda: read_entries(variable, file)), open_paths=settings.open_paths)


def request_limits(settings: Settings) -> RequestLimits:
    """Return the limits of one request and of all requests together."""
    return RequestLimits(
        max_audio_bytes=int(settings.max_audio_bytes),
        openai_max_audio_bytes=int(min(settings.openai_max_audio_bytes, settings.max_audio_bytes)),
        max_audio_s=settings.max_audio_s,
        max_concurrent_requests=settings.max_concurrent_requests,
        upload_idle_timeout_s=settings.upload_idle_timeout_s,
        upload_timeout_s=settings.upload_timeout_s,
        request_timeout_s=settings.request_timeout_s,
    )


def cue_limits(settings: Settings) -> CueLimits:
    """Return the limits of one cue of a subtitle."""
    return CueLimits(
        max_s=settings.subtitle_max_s,
        max_characters=settings.subtitle_max_characters,
        max_fullwidth_characters=settings.subtitle_max_fullwidth_characters,
    )


def open_jobs(
    settings: Settings, model: ServedModel, transcriber: Transcriber, access: Access | None
) -> Jobs | NoJobs:
    """Open the folder in which jobs are stored, and return the service that runs them.

    Without the setting `data_dir`, a default folder that cannot be used means a server without jobs: most servers
    need none, and a second server on the same machine must start, too.
    Raises StorageFailed when the folder in the settings cannot be used, InvalidParameter for bad allowed hosts.
    """
    # Imported here, because handler.py has no jobs and does without the packages that they need.
    from hf_asr_endpoint.jobs.addresses import AddressGuard, parse_allowed_hosts
    from hf_asr_endpoint.jobs.delivery import RetrySchedule
    from hf_asr_endpoint.jobs.job import JobLimits
    from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
    from hf_asr_endpoint.jobs.resolver import SystemResolver
    from hf_asr_endpoint.jobs.webhook import WebhookSender

    allowed = parse_allowed_hosts(settings.webhook_allowed_hosts)
    schedule = RetrySchedule(retry_for_s=settings.webhook_retry_for_s)
    try:
        store = _open_job_store(settings.data_dir or data_folder())
    except StorageFailed as exc:
        if settings.data_dir is not None:
            raise
        logger.warning("this server does not accept jobs: %s", exc)
        return NoJobs("this server does not accept jobs; its log says why")
    guard = AddressGuard(allowed, SystemResolver())
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
    return Jobs(
        store,
        transcriber,
        kinds=_job_kinds(settings, model),
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
        on_audio=_charge_nobody if access is None else access.use.charge,
    )


def _charge_nobody(owner: str | None, audio_s: float) -> None:
    """Without keys nobody has an account."""


def _job_kinds(settings: Settings, model: ServedModel) -> dict[str, JobKind]:
    """Return the job kind of each dialect, by the name that is stored with its jobs."""
    from hf_asr_endpoint.api.deepinfra import job_kind as deepinfra_kind
    from hf_asr_endpoint.api.openai import job_kind as openai_kind

    return {
        openai_kind.KIND: openai_kind.OpenAIJobKind(model=model, cue_limits=cue_limits(settings)),
        deepinfra_kind.KIND: deepinfra_kind.DeepInfraJobKind(model=model, price_per_s=settings.price_per_s),
    }


def _open_job_store(path: Path) -> JobStore:
    """Open the folder and recover the jobs that the last server left there. Raises StorageFailed."""
    from hf_asr_endpoint.jobs.data_directory import open_data_directory
    from hf_asr_endpoint.jobs.database import open_database
    from hf_asr_endpoint.jobs.spool import Spool
    from hf_asr_endpoint.jobs.store import JobStore
    from hf_asr_endpoint.jobs.table import JobTable

    directory = open_data_directory(path)
    try:
        # The database first: a broken one is moved away together with the audio files that the spool would use.
        table = JobTable(open_database(path))
        store = JobStore(directory, table, Spool(path))
        store.recover()
        return store
    except BaseException:
        directory.close()
        raise


def load_transcriber(settings: Settings, report: Callable[[str], None]) -> Transcriber:
    """Download or convert the model if necessary, load it and return a Transcriber. Takes seconds to minutes.

    report: called before each slow step with its name, such as "torch to be imported". Clients see it in
    `/health`, so it must not show a path. Raises ModelUnavailable.
    """
    report("torch to be imported")
    _prepare_process()
    # Imported here, because that takes seconds, in which the server already responds to GET /health.
    from hf_asr_endpoint.engine.engine import Engine
    from hf_asr_endpoint.transcription.batching import BatchingTranscriber
    from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model
    from hf_asr_endpoint.whisper.loading import load_speech_model

    directory = resolve_model(
        settings.model, revision=settings.revision, cache_dir=settings.cache_dir, report=report
    )
    logger.info("loading the weights in %s", directory)
    report("the weights to be loaded")
    model, tokenizer, info = load_speech_model(
        directory,
        device=settings.device,
        dtype=settings.dtype,
        slots=settings.slots,
        cpu_level=settings.cpu_level,
        cache_dir=settings.cache_dir,
    )
    batching = BatchingTranscriber(
        Engine(model, slots=settings.slots),
        tokenizer,
        info,
        max_requests=settings.max_concurrent_requests + settings.max_running_jobs,
        max_ahead=settings.slots + CHUNKS_AHEAD,
        encoder_padding_s=settings.encoder_padding_s,
        max_beams=settings.max_beams,
        max_waiting_audio_s=settings.max_waiting_audio_s,
    )
    report("the engine to warm up")
    batching.warm_up(slots=settings.slots)
    trim_heap()  # Return the memory that only loading needed.
    kernels = f", kernels for {info.cpu_level}" if info.cpu_level else ""
    logger.info(
        "ready: %s on %s in %s%s, threads: %d",
        settings.model,
        info.device,
        info.dtype,
        kernels,
        info.n_threads,
    )
    return batching


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
