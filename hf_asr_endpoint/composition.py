"""The composition root: turns settings into the services that the application, or a script, works with.

Nothing below this module sees settings: lower layers take explicit keyword arguments. It knows neither HTTP nor
the command line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.api_keys import ApiKeys, read_entries
from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.api.live_sessions import LiveLimits, LiveSessions
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.api.services import Services
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.engine.turns import Turns
from hf_asr_endpoint.engine_processes.start import load_on_devices
from hf_asr_endpoint.errors import InvalidSettings, StorageFailed
from hf_asr_endpoint.model_choice import ModelChoice, choose_models
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.transcription.model_room import PooledModel
from hf_asr_endpoint.transcription.pool import ModelPool
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.user_folders import data_folder
from hf_asr_endpoint.whisper.checkpoint.weights.reference import is_path, model_names

if TYPE_CHECKING:
    from hf_asr_endpoint.jobs.job import JobKind
    from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs
    from hf_asr_endpoint.jobs.store import JobStore

logger = logging.getLogger(__name__)


def open_services(settings: Settings, *, on_load_failure: Callable[[Exception], None]) -> Services:
    """Return the services of a server. Their `start` begins to load the model, in a thread of its own.

    on_load_failure: called in that thread, once, when loading fails.
    Raises ModelUnavailable, StorageFailed and InvalidParameter for settings that cannot be followed.
    """
    choices = choose_models(settings)
    models = served_models(choices)
    transcriber = open_pool(choices, models, settings, on_load_failure=on_load_failure)
    return services_with(transcriber, models, settings, start=transcriber.start)


def services_with(
    transcriber: Transcriber,
    models: ServedModels,
    settings: Settings,
    *,
    start: Callable[[], None],
    no_jobs: str | None = None,
) -> Services:
    """Return the services of a server around a Transcriber. no_jobs: why it accepts none.

    Raises StorageFailed and InvalidParameter for settings that cannot be followed.
    """
    access = open_access(settings)
    return Services(
        transcriber=transcriber,
        models=models,
        limits=request_limits(settings),
        cue_limits=cue_limits(settings),
        live=LiveSessions(live_limits(settings)),
        jobs=_open_jobs(settings, models, transcriber, access, no_jobs),
        price_per_s=settings.price_per_s,
        access=access,
        cors_origins=settings.cors_origins,
        root_path=settings.root_path,
        has_playground=settings.playground == "on",
        start=start,
    )


def load_services(settings: Settings) -> Services:
    """Load the model, and return the services of a handler, which has no jobs and sees no keys.

    Raises ModelUnavailable, and InvalidSettings for API keys, which it would ignore.
    """
    if settings.api_keys is not None or settings.api_keys_file is not None:
        raise InvalidSettings("API keys are for `hf-asr serve`; before a handler, the platform asks for its own")
    choices = choose_models(settings)
    if len(choices) > 1:
        raise InvalidSettings(f"there are {len(choices)} models; a handler has one")
    return Services(
        transcriber=load_on_devices(choices[0], settings, lambda step: logger.info("waiting for %s", step)),
        models=served_models(choices),
        limits=request_limits(settings),
        cue_limits=cue_limits(settings),
        price_per_s=settings.price_per_s,
    )


def open_pool(
    choices: tuple[ModelChoice, ...],
    models: ServedModels,
    settings: Settings,
    *,
    on_load_failure: Callable[[Exception], None],
) -> ModelPool:
    """Return the Transcriber over all models; it has loaded none yet."""
    turns = Turns() if len(choices) > 1 else None

    def pooled(served: ServedModel, choice: ModelChoice) -> PooledModel:
        return PooledModel(
            id=served.id,
            load=lambda report: load_on_devices(choice, settings, report, turns=turns),
            loads_at_start=choice.load_at == "start",
        )

    return ModelPool(
        [pooled(served, choice) for served, choice in zip(models, choices, strict=True)],
        on_failure=on_load_failure,
        max_bytes=None if settings.max_model_bytes is None else int(settings.max_model_bytes),
        idle_timeout_s=settings.model_idle_timeout_s,
    )


def served_models(choices: Sequence[ModelChoice]) -> ServedModels:
    """Return the models' names and versions, the default one first.

    Raises ModelUnavailable for an embedded model that does not exist, InvalidSettings for a name of two models.
    """
    return ServedModels([_served_model(choice) for choice in choices])


def _served_model(choice: ModelChoice) -> ServedModel:
    """A directory's path is not among the names: clients must not learn, or probe, where files are."""
    names = model_names(choice.model)
    own_names = names[:1] if is_path(choice.model) else names
    return ServedModel(names=tuple(dict.fromkeys((*own_names, *choice.names))), revision=choice.revision)


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
        max_wait_s=settings.max_wait_s,
        upload_idle_timeout_s=settings.upload_idle_timeout_s,
        upload_timeout_s=settings.upload_timeout_s,
        request_timeout_s=settings.request_timeout_s,
    )


def live_limits(settings: Settings) -> LiveLimits:
    """Return the limits of live sessions."""
    return LiveLimits(
        max_sessions=settings.max_live_sessions,
        max_session_s=settings.max_live_session_s,
        idle_timeout_s=settings.live_idle_timeout_s,
        max_waiting_audio_s=settings.max_live_waiting_audio_s,
    )


def cue_limits(settings: Settings) -> CueLimits:
    """Return the limits of one cue of a subtitle."""
    return CueLimits(
        max_s=settings.subtitle_max_s,
        max_characters=settings.subtitle_max_characters,
        max_fullwidth_characters=settings.subtitle_max_fullwidth_characters,
    )


def open_jobs(
    settings: Settings, models: ServedModels, transcriber: Transcriber, access: Access | None
) -> Jobs | NoJobs:
    """Open the store of jobs, and return the service that runs them.

    Without the setting `data_dir`, a default folder that cannot be used means a server without jobs: most servers
    need none, and a second server on the same machine must start, too.
    Raises StorageFailed when the folder or the database in the settings cannot be used, InvalidSettings for
    settings that contradict each other, InvalidParameter for bad allowed hosts.
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
        store = _open_job_store(settings)
    except StorageFailed as exc:
        if settings.data_dir is not None or settings.jobs_database is not None:
            raise
        logger.warning("this server does not accept jobs: %s", exc)
        return NoJobs("this server does not accept jobs; its log says why")
    guard = AddressGuard(allowed, SystemResolver())
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
    return Jobs(
        store,
        transcriber,
        kinds=_job_kinds(settings, models),
        limits=JobLimits(
            max_queued=settings.max_queued_jobs,
            max_running=settings.max_running_jobs,
            max_audio_s=settings.max_audio_s,
            retention_s=settings.job_retention_s,
            max_crashes=settings.max_job_crashes,
            lease_s=settings.job_lease_s,
        ),
        guard=guard,
        sender=WebhookSender(guard, timeout_s=settings.webhook_timeout_s, secret=secret),
        schedule=schedule,
        on_audio=_charge_nobody if access is None else access.use.charge,
    )


def _open_jobs(
    settings: Settings, models: ServedModels, transcriber: Transcriber, access: Access | None, refusal: str | None
) -> Jobs | NoJobs:
    from hf_asr_endpoint.jobs.jobs import NoJobs

    return open_jobs(settings, models, transcriber, access) if refusal is None else NoJobs(refusal)


def _charge_nobody(owner: str | None, audio_s: float) -> None:
    """Without keys nobody has an account."""


def _job_kinds(settings: Settings, models: ServedModels) -> dict[str, JobKind]:
    """Return the job kind of each dialect, by the name that is stored with its jobs."""
    from hf_asr_endpoint.api.deepinfra import job_kind as deepinfra_kind
    from hf_asr_endpoint.api.openai import job_kind as openai_kind

    return {
        openai_kind.KIND: openai_kind.OpenAIJobKind(models=models, cue_limits=cue_limits(settings)),
        deepinfra_kind.KIND: deepinfra_kind.DeepInfraJobKind(models=models, price_per_s=settings.price_per_s),
    }


def _open_job_store(settings: Settings) -> JobStore:
    """Open this server's own store, or the one that it shares. Raises InvalidSettings and StorageFailed."""
    from hf_asr_endpoint.jobs.opening import open_own_store, open_shared_store

    if settings.jobs_database is None and settings.jobs_storage is None:
        return open_own_store(settings.data_dir or data_folder())
    if settings.jobs_database is None or settings.jobs_storage is None or settings.data_dir is not None:
        raise InvalidSettings(
            "servers that share jobs need HF_ASR_JOBS_DATABASE and --jobs-storage (HF_ASR_JOBS_STORAGE), "
            "and no --data-dir (HF_ASR_DATA_DIR); allowed: both and not the third, or none of the two"
        )
    return open_shared_store(settings.jobs_database.get_secret_value(), settings.jobs_storage)
