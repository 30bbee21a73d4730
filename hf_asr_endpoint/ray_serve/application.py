"""The settings to an application of Ray Serve: its deployments, what each replica gets, and how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ray import serve

from hf_asr_endpoint.composition import open_access, served_models
from hf_asr_endpoint.config import Settings, flag_of, without_secrets
from hf_asr_endpoint.errors import InvalidSettings
from hf_asr_endpoint.model_choice import ModelChoice, choose_models
from hf_asr_endpoint.ray_cluster import share_engines
from hf_asr_endpoint.ray_serve.board import Board
from hf_asr_endpoint.ray_serve.engine import Engine
from hf_asr_endpoint.ray_serve.http import Http, application_builder
from hf_asr_endpoint.ray_serve.names import BOARD, HTTP, engine_name
from hf_asr_endpoint.read_settings import read_settings
from hf_asr_endpoint.setting_types import read_replicas

CHECK_INTERVAL_S = 2.0
"""Between checks whether a replica lives."""
CHECK_TIMEOUT_S = 30.0

MOST_AT_THE_BOARD = 1_000
"""Calls at a time, each of which takes a millisecond."""

OF_A_SINGLE_SERVER = (
    *("load_models", "max_model_bytes", "model_idle_timeout_s"),
    *("max_connections", "header_timeout_s", "send_timeout_s", "wyoming_port", "wyoming_without_keys"),
)
"""Settings that mean nothing here: each engine has one model, and the connections are those of Serve's proxies."""

SCALING_DELAYS = ("ray_upscale_delay_s", "ray_downscale_delay_s")


def app(arguments: Mapping[str, str]) -> Any:
    """Return the application. `serve run hf_asr_endpoint.ray_serve:app model=… ray_engine_replicas=2` calls it.

    arguments: settings by their names; they have precedence over the variables of this process.
    Raises InvalidSettings and ModelUnavailable.
    """
    if given := [name for name in ("host", "port") if name in arguments]:
        raise InvalidSettings(f"{given[0]} is Ray Serve's: give it to `serve start` or in `http_options`")
    return build_application(read_settings(dict(arguments)))


def build_application(settings: Settings) -> Any:
    """Return the application for settings. Raises InvalidSettings and ModelUnavailable."""
    if given := [name for name in OF_A_SINGLE_SERVER if name in settings.model_fields_set]:
        raise InvalidSettings(
            f"{flag_of(given[0])} is for a single server; on Ray each engine has one model, which stays, and "
            "Ray's proxies hold the connections; allowed: without it"
        )
    if settings.api_keys_file is None:  # Else the file may be on the machines of the HTTP replicas alone.
        open_access(settings)
    _check_jobs(settings)
    _check_delays(settings)
    choices = choose_models(settings)
    _check_loading(choices)
    models = served_models(choices)
    shares = [share_engines(settings, choice, n_models=len(choices)) for choice in choices]
    wanted = {model.id: share.fewest for model, share in zip(models, shares, strict=True)}
    board = _deploy(
        Board, name=BOARD, ray_actor_options={"num_cpus": 0}, max_ongoing_requests=MOST_AT_THE_BOARD
    ).bind(wanted)
    engines = [
        _deploy(
            Engine,
            name=engine_name(index, model.id),
            ray_actor_options=share.actor_options,
            # Twice as many as an engine should have: others wait where a free replica can still take them.
            max_ongoing_requests=2 * settings.ray_engine_requests,
            graceful_shutdown_timeout_s=settings.shutdown_timeout_s,
            **_scale(share.fewest, share.most, target=settings.ray_engine_requests, settings=settings),
        ).bind(model.id, choice, without_secrets(settings), board)
        for index, (model, choice, share) in enumerate(zip(models, choices, shares, strict=True))
    ]
    http = _deploy(
        serve.ingress(application_builder(settings))(Http),
        name=HTTP,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=settings.max_connections,
        graceful_shutdown_timeout_s=settings.shutdown_timeout_s,
        **_scale(
            *read_replicas(settings.ray_http_replicas), target=settings.max_concurrent_requests, settings=settings
        ),
    )
    return http.bind(board, *engines)


def _deploy(cls: Any, **options: Any) -> Any:
    return serve.deployment(
        cls,
        health_check_period_s=CHECK_INTERVAL_S,
        health_check_timeout_s=CHECK_TIMEOUT_S,
        # The application has a log of its requests, and calls of the board are many.
        logging_config={"enable_access_log": False},
        **options,
    )


def _scale(fewest: int, most: int, *, target: int, settings: Settings) -> dict[str, Any]:
    """Return the options for a number of replicas, or for a range. target: requests in flight for each."""
    if fewest == most:
        return {"num_replicas": fewest}
    scaling = {
        "min_replicas": fewest,
        "max_replicas": most,
        "target_ongoing_requests": target,
        "upscale_delay_s": settings.ray_upscale_delay_s,
        "downscale_delay_s": settings.ray_downscale_delay_s,
    }
    return {"autoscaling_config": scaling}


def _check_jobs(settings: Settings) -> None:
    """Raise InvalidSettings for a place of jobs that several HTTP replicas cannot share."""
    if read_replicas(settings.ray_http_replicas)[1] == 1 or settings.jobs_database is not None:
        return
    for name in ("data_dir", "jobs_storage"):
        if getattr(settings, name) is not None:
            raise InvalidSettings(
                f"{flag_of(name)} is given and --ray-http-replicas is {settings.ray_http_replicas}, but several "
                "HTTP replicas share jobs in a database; allowed: HF_ASR_JOBS_DATABASE and --jobs-storage, or one "
                "HTTP replica"
            )


def _check_delays(settings: Settings) -> None:
    """Raise InvalidSettings for a delay where the load changes no number."""
    ranges = (read_replicas(text) for text in (settings.ray_engine_replicas, settings.ray_http_replicas))
    if any(fewest < most for fewest, most in ranges):
        return
    if given := [name for name in SCALING_DELAYS if name in settings.model_fields_set]:
        raise InvalidSettings(
            f"{flag_of(given[0])} is for a number of replicas that follows the load; allowed: with a range, such "
            "as --ray-engine-replicas 1-8"
        )


def _check_loading(choices: Iterable[ModelChoice]) -> None:
    """Raise InvalidSettings for a model that a file wants to be loaded later."""
    for choice in choices:
        if choice.load_at != "start":
            raise InvalidSettings(
                f"load_at of the model {choice.model} is {choice.load_at}; on Ray each engine has one model, "
                "which stays; allowed: start"
            )
