"""What DeepInfra's operations take and return, for the description of the API and as the schema of a model."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from hf_asr_endpoint.api.deepinfra.render import Work, render_transcription
from hf_asr_endpoint.api.deepinfra.schema import AUDIO, FIXED, VERSION, Parameters
from hf_asr_endpoint.api.described import (
    ADDRESS,
    AUDIO_ERRORS,
    AUDIO_FILE,
    FORM,
    JSON,
    SPEECH_FILE,
    ApiDescription,
    Content,
    Operation,
)
from hf_asr_endpoint.api.encoded_audio import ALLOWED
from hf_asr_endpoint.api.example import EXAMPLE
from hf_asr_endpoint.api.field_schemas import Schema, fields_schema, fixed_words, one_of, schema_of
from hf_asr_endpoint.api.paths import Endpoint
from hf_asr_endpoint.api.segments import SegmentFields
from hf_asr_endpoint.errors import JobsUnavailable, UnknownModel
from hf_asr_endpoint.jobs.job import Job, JobSpec, JobStatus, render_job

TITLE = "DeepInfra"
ABOUT = "DeepInfra's native API, with more of Whisper's options than OpenAI's."
MODEL_PATH = "A name of a model that is served. It may have slashes."
_BASE64: Schema = {"type": "string", "contentEncoding": "base64", "description": f"The audio. Allowed: {ALLOWED}."}
_WORK = Work(request_id="R0123456789abcdef0123456789abcdef", runtime_s=0.21, price_per_s=0.0)


class SegmentWord(TypedDict):
    text: str
    start: float
    end: float
    confidence: NotRequired[float]


class TimedWord(TypedDict):
    text: str
    start: float
    end: float


class Segment(SegmentFields):
    """language: where it is not the recording's."""

    confidence: NotRequired[float]
    words: NotRequired[list[SegmentWord]]
    language: NotRequired[str]


class Status(TypedDict):
    status: Literal["succeeded"]
    runtime_ms: int
    cost: float
    tokens_generated: int
    tokens_input: int
    output_length: int


class Results(TypedDict):
    """language: a code. language_probability: of one that was detected."""

    text: str
    segments: list[Segment]
    language: NotRequired[str]
    language_probability: NotRequired[float]
    input_length_ms: int
    words: NotRequired[list[TimedWord]]
    duration: float


class Answer(Results):
    request_id: str
    inference_status: Status


class JobState(TypedDict):
    status: str
    runtime_ms: int
    cost: float


class Submitted(TypedDict):
    """The answer to a request with a webhook."""

    request_id: str
    inference_status: JobState


def input_schema(audio: Schema, title: str) -> Schema:
    """Return the fields of a request. audio: the one that holds it."""
    return fields_schema(title, Parameters, before={AUDIO: audio}, fixed=fixed_words(FIXED), required=[AUDIO])


def output_schema() -> Schema:
    """Return the schema of an answer."""
    return schema_of(Answer)


def _infer() -> Operation:
    spec = JobSpec(kind="", task="transcribe", model="", fields=())
    job = Job(id=_WORK.request_id, spec=spec, status=JobStatus.QUEUED, created_at=0.0)
    return Operation(
        summary="Transcribe",
        about="With `webhook`, the request becomes a job, which is answered at once. Null means the default, "
        "except for the fields that it switches off.",
        path_fields={"model": MODEL_PATH},
        query={
            "type": "object",
            "properties": {
                VERSION: {"type": "string", "description": "The revision of the model, if it has one."}
            },
        },
        form_in_query=True,
        bodies={
            FORM: Content(schema=input_schema(AUDIO_FILE, "Form")),
            JSON: Content(schema=input_schema(_BASE64, "Json")),
        },
        answers={
            JSON: Content(
                schema=one_of("AnswerOrJob", output_schema(), schema_of(Submitted)),
                examples={
                    "segments": render_transcription(EXAMPLE, _WORK, shows_words=False),
                    "words": render_transcription(EXAMPLE, _WORK, shows_words=True),
                    "webhook": render_job(job),
                },
            )
        },
        errors=(*AUDIO_ERRORS, UnknownModel, JobsUnavailable),
        curl=f"curl {ADDRESS}/v1/inference/whisper-1 -F audio=@{SPEECH_FILE} -F chunk_level=word",
        path="/v1/inference/{model}",
    )


def describe(endpoints: tuple[Endpoint, ...]) -> ApiDescription:
    """Return the description."""
    return ApiDescription(
        title=TITLE,
        about=ABOUT,
        endpoints=endpoints,
        operations={"infer": _infer(), "no_name": None},
    )
