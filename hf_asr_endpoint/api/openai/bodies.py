"""The types of OpenAI's bodies and events, which `render.py` and `stream.py` make, for the API's description."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from hf_asr_endpoint.api.segments import SegmentFields
from hf_asr_endpoint.types import Task

Probability = Annotated[float, Field(ge=0, le=1)]


class SpokenWord(TypedDict):
    word: str
    start: float
    end: float
    probability: NotRequired[Probability]


class Logprob(TypedDict):
    """bytes: of the token, which may end inside a character."""

    token: str
    bytes: list[int]
    logprob: float


class DurationUsage(TypedDict):
    """seconds: rounded up."""

    type: Literal["duration"]
    seconds: int


class InputTokenDetails(TypedDict):
    text_tokens: int
    audio_tokens: int


class TokenUsage(TypedDict):
    type: Literal["tokens"]
    input_tokens: int
    input_token_details: InputTokenDetails
    output_tokens: int
    total_tokens: int


class GroqMark(TypedDict):
    """What Groq's clients need beside OpenAI's fields; others do not get it."""

    id: str


class Json(TypedDict):
    text: str
    words: NotRequired[list[SpokenWord]]
    logprobs: NotRequired[list[Logprob]]
    usage: NotRequired[DurationUsage]
    x_groq: NotRequired[GroqMark]


class VerboseSegment(SegmentFields):
    """language: where it is not the recording's."""

    language: NotRequired[str]


class VerboseJson(TypedDict):
    """language: its English name. language_probability: of a language that was detected."""

    task: Task
    language: NotRequired[str]
    language_probability: NotRequired[Probability]
    duration: float
    text: str
    segments: NotRequired[list[VerboseSegment]]
    words: NotRequired[list[SpokenWord]]
    logprobs: NotRequired[list[Logprob]]
    usage: NotRequired[DurationUsage]
    x_groq: NotRequired[GroqMark]


class DeltaEvent(TypedDict):
    """The text of one segment. All deltas, joined, are the whole text."""

    type: Literal["transcript.text.delta"]
    delta: str
    logprobs: NotRequired[list[Logprob]]


class SegmentEvent(TypedDict):
    """With verbose_json, after each delta."""

    type: Literal["transcript.text.segment"]
    id: str
    start: float
    end: float
    text: str
    speaker: str
    language: NotRequired[str]
    words: NotRequired[list[SpokenWord]]


class ProgressEvent(TypedDict):
    """Sent to clients that accept `text/event-stream; progress=true`. null: the file does not tell its length."""

    type: Literal["transcript.progress"]
    done_s: float
    duration_s: float | None
    progress: Probability | None


class TimedText(TypedDict):
    id: int
    start: float
    end: float
    text: str


class DoneEvent(TypedDict):
    """The last event."""

    type: Literal["transcript.text.done"]
    text: str
    language: NotRequired[str]
    language_probability: NotRequired[Probability]
    duration: NotRequired[float]
    logprobs: NotRequired[list[Logprob]]
    segments: NotRequired[list[TimedText]]
    usage: TokenUsage


class ErrorDetail(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    error: ErrorDetail


class Model(TypedDict):
    """created: Unix time in seconds."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    status: Literal["loading", "ready", "failed", "unloaded"]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[Model]
