from __future__ import annotations

import pytest

from hf_asr_endpoint.api.deepinfra.job_kind import DeepInfraJobKind, make_spec
from hf_asr_endpoint.api.deepinfra.parameters import parse_parameters
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.errors import UnknownModel
from hf_asr_endpoint.jobs.job import JobSpec

TEXTS = (("task", '"translate"'), ("webhook", "https://example.com/"), ("initial_prompt", "Grüße"))


def make(*, model: str = "whisper-base", version: str | None = None) -> JobSpec:
    return make_spec(TEXTS, parse_parameters(TEXTS), model=model, version=version)


def make_kind(*names: str, revision: str | None = None) -> DeepInfraJobKind:
    return DeepInfraJobKind(models=ServedModels([ServedModel(names=names, revision=revision)]), price_per_s=0.0)


def test_spec_has_what_the_request_was_parsed_to() -> None:
    assert make(version="") == JobSpec(
        kind="deepinfra",
        task="translate",
        model="whisper-base",
        version=None,
        fields=(("task", '"translate"'), ("initial_prompt", "Grüße")),
        webhook="https://example.com/",
    )


def test_job_has_the_options_of_the_request() -> None:
    assert make_kind("whisper-base").parse(make()).options == parse_parameters(TEXTS).options


@pytest.mark.parametrize("name", ["whisper-base", "whisper-1"])
def test_every_name_of_the_model_is_accepted(name: str) -> None:
    make_kind("openai/whisper-base", "whisper-base").parse(make(model=name))


def test_job_for_another_model_is_refused() -> None:
    with pytest.raises(UnknownModel, match="allowed: whisper-large"):
        make_kind("whisper-large").parse(make())


def test_job_for_another_version_is_refused() -> None:
    spec = make(version="abc")
    make_kind("whisper-base", revision="abc").parse(spec)
    with pytest.raises(UnknownModel, match="the version 'abc' is not served here; allowed: 'abd'"):
        make_kind("whisper-base", revision="abd").parse(spec)
