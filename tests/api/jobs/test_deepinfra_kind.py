from __future__ import annotations

import pytest

from hf_asr_endpoint.api.deepinfra.parameters import parse_parameters
from hf_asr_endpoint.api.jobs.deepinfra_kind import DeepInfraJobKind, make_job
from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.errors import UnknownModel
from hf_asr_endpoint.jobs.job import NewJob

TEXTS = (("task", '"translate"'), ("webhook", "https://example.com/"), ("initial_prompt", "Grüße"))


def make(*, model: str = "whisper-base", version: str | None = None) -> NewJob:
    return make_job(TEXTS, parse_parameters(TEXTS), model=model, version=version)


def make_kind(*names: str, revision: str | None = None) -> DeepInfraJobKind:
    return DeepInfraJobKind(model=ServedModel(names=names, revision=revision), price_per_s=0.0)


def test_the_job_means_what_the_request_meant() -> None:
    asked = make()
    assert (asked.kind, asked.task, asked.webhook) == ("deepinfra", "translate", "https://example.com/")
    assert make_kind("whisper-base").options(asked) == parse_parameters(TEXTS).options


@pytest.mark.parametrize("name", ["whisper-base", "whisper-1"])
def test_the_same_model_may_have_more_names(name: str) -> None:
    make_kind("openai/whisper-base", "whisper-base").options(make(model=name))


def test_a_job_is_not_run_with_another_model() -> None:
    with pytest.raises(UnknownModel, match="allowed: whisper-large"):
        make_kind("whisper-large").options(make())


def test_a_job_is_not_run_with_another_version() -> None:
    asked = make(version="abc")
    make_kind("whisper-base", revision="abc").options(asked)
    with pytest.raises(UnknownModel, match="the version 'abc' is not served here; allowed: 'abd'"):
        make_kind("whisper-base", revision="abd").options(asked)
