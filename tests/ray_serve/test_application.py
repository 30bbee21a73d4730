"""Settings that an application on Ray cannot follow are refused; the rest decide what each replica gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_asr_endpoint.config import VARIABLE_ONLY, Settings
from hf_asr_endpoint.errors import InvalidSettings
from hf_asr_endpoint.model_choice import choose_models

pytest.importorskip("ray", reason="Ray is not installed; `make test-ray` has it")

from hf_asr_endpoint import ray_cluster
from hf_asr_endpoint.ray_cluster import EngineShare, share_engines
from hf_asr_endpoint.ray_serve import app
from hf_asr_endpoint.ray_serve.application import build_application
from hf_asr_endpoint.ray_serve.names import engine_name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": "80"}, "port is Ray Serve's"),
        ({"max_model_bytes": "1GiB"}, "--max-model-bytes is for a single server"),
        ({"ray_engine_replicas": "0"}, "allowed: a number from 1"),
        ({"ray_engine_replicas": "4-2"}, "allowed: a range whose end"),
        ({"modle": "x"}, "modle"),
        ({"ray_http_replicas": "1-2", "data_dir": "jobs"}, "--data-dir is given and --ray-http-replicas is 1-2"),
        ({"ray_http_replicas": "2", "jobs_storage": "jobs"}, "--jobs-storage is given"),
        ({"api_keys": "anna:short"}, "the API key in HF_ASR_API_KEYS at position 1 cannot be used"),
        ({"ray_upscale_delay_s": "1"}, "--ray-upscale-delay-s is for a number of replicas that follows the load"),
        ({"devices": "cuda:0,cuda:1"}, "allowed on Ray, which chooses each engine's GPU: auto, cpu, cuda, mps"),
    ],
)
def test_what_cannot_be_followed_is_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        app(arguments)


def test_engines_get_no_secrets() -> None:
    database = "postgresql://jobs:secret-password@db/jobs"
    secrets = {"api_keys": "secret-key", "webhook_secret": "c2VjcmV0" * 4, "jobs_database": database}
    settings = Settings.model_validate({**secrets, "log_level": "warning"})
    http = build_application(settings)._bound_deployment
    for engine in http.init_args[1:]:
        given = engine._bound_deployment.init_args[2]
        assert [getattr(given, name) for name in VARIABLE_ONLY] == [None] * len(secrets)
        assert given.log_level == "warning"
    assert len(http.init_args) == 2


def test_a_model_that_is_loaded_later_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(
        '[[model]]\nmodel = "embedded:whisper-base"\n'
        '[[model]]\nmodel = "embedded:whisper-tiny.en"\nload_at = "first-use"\n'
    )
    with pytest.raises(InvalidSettings, match=r"load_at of the model embedded:whisper-tiny\.en is first-use"):
        app({"model": str(file)})


def test_a_range_of_engines_follows_the_load() -> None:
    settings = Settings(
        ray_engine_replicas="2-5", ray_engine_requests=3, ray_upscale_delay_s=4, ray_downscale_delay_s=50
    )
    http = build_application(settings)._bound_deployment
    scaling = http.init_args[1]._bound_deployment._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 5, 3)
    assert (scaling.upscale_delay_s, scaling.downscale_delay_s) == (4, 50)
    assert http._deployment_config.num_replicas == 1


def share(**settings: object) -> EngineShare:
    made = Settings.model_validate(settings)
    return share_engines(made, choose_models(made)[0])


def test_engines_share_the_cores_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_machines", lambda: [ray_cluster._Machine(cpus=8, gpus=0.0)] * 2)
    assert share(ray_engine_replicas="2") == EngineShare(cpus=8, gpus=0.0, fewest=2, most=2)
    assert share(ray_engine_replicas="1-4") == EngineShare(cpus=4, gpus=0.0, fewest=1, most=4)
    assert share(ray_engine_replicas="1-100").cpus == 1
    assert share(ray_engine_replicas=2) == share(ray_engine_replicas="2")
    assert share(ray_engine_cpus=3).cpus == 3


def test_an_engine_takes_a_gpu_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_machines", lambda: [ray_cluster._Machine(cpus=8, gpus=4.0)])
    assert share(ray_engine_replicas="4").actor_options == {"num_cpus": 1, "num_gpus": 1.0}
    assert share(devices="cpu", ray_engine_replicas="4").actor_options == {"num_cpus": 2, "num_gpus": 0.0}
    assert share(ray_engine_gpus=0.5).gpus == 0.5


def test_models_have_different_names_whatever_their_ids() -> None:
    assert engine_name(0, "openai/whisper-base") == "engine-0-openai-whisper-base"
    assert engine_name(1, "a/b") != engine_name(2, "a-b")
