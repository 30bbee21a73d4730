from __future__ import annotations

import pytest

from hf_asr_endpoint.api.openai.job_kind import KIND, OpenAIJobKind
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.errors import UnknownModel, UnsupportedValue
from hf_asr_endpoint.jobs.job import JobSpec
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.types import Task, Transcription
from tests.fakes import make_segment

TRANSCRIPTION = Transcription(
    task="translate", language="de", duration_s=1.0, segments=(make_segment(" Greetings", end=1.0),)
)


def make_spec(*fields: tuple[str, str], model: str = "whisper-base", task: Task = "translate") -> JobSpec:
    return JobSpec(kind=KIND, task=task, model=model, fields=fields)


@pytest.fixture
def kind() -> OpenAIJobKind:
    return OpenAIJobKind(
        models=ServedModels([ServedModel(names=("whisper-base",), revision=None)]), cue_limits=CueLimits()
    )


def test_options_have_the_task_and_the_fields_of_the_job(kind: OpenAIJobKind) -> None:
    options = kind.parse(make_spec(("prompt", "Grüße"))).options
    assert (options.task, options.prompt) == ("translate", "Grüße")


@pytest.mark.parametrize(
    ("response_format", "results"),
    [("json", {"text": "Greetings"}), ("text", "Greetings\n")],
)
def test_result_has_the_response_format(kind: OpenAIJobKind, response_format: str, results: object) -> None:
    parsed = kind.parse(make_spec(("response_format", response_format)))
    assert parsed.render(TRANSCRIPTION) == {"results": results}


def test_model_is_checked(kind: OpenAIJobKind) -> None:
    with pytest.raises(UnknownModel, match="allowed: whisper-base"):
        kind.parse(make_spec(model="other"))
    assert kind.parse(make_spec(model="")).options == kind.parse(make_spec(model="whisper-1")).options


def test_stream_is_refused(kind: OpenAIJobKind) -> None:
    with pytest.raises(UnsupportedValue, match="stream is true, but a job has no stream"):
        kind.parse(make_spec(("stream", "true"), task="transcribe"))
