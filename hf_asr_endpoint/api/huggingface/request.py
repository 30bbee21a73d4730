"""A whole request of the task, however it came: the audio, and the options for its transcription."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from hf_asr_endpoint.api.encoded_audio import describe_file
from hf_asr_endpoint.api.fixed_parameters import Fixed, only
from hf_asr_endpoint.api.huggingface.inputs import parse_inputs
from hf_asr_endpoint.api.huggingface.parameters import ParsedParameters, parse_parameters, parse_query
from hf_asr_endpoint.api.texts import join_names
from hf_asr_endpoint.audio.source import AudioSource
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest
from hf_asr_endpoint.messages import quote, show_value

AUDIO_KEY = "inputs"

KEYS = (AUDIO_KEY, "parameters", "options")

OPTIONS: Fixed = {
    "wait_for_model": only(True, False, reason="requests wait while the model loads"),
    "use_cache": only(True, False, reason="answers are not kept, so each is new"),
}
"""Keys of `options` in requests to Hugging Face's Inference API, which huggingface_hub sent until 0.27."""

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """Everything is checked, except whether the audio can be decoded."""

    audio: AudioSource
    parameters: ParsedParameters


def parse_document(document: object, *, query: Query = (), max_audio_bytes: int) -> ParsedRequest:
    """Parse `{"inputs", "parameters"?}`, from JSON or as Python values. Raises InvalidRequest and its kinds.

    document: of a JSON body, with the audio that `json_body` has taken out of it, or a caller's own values.
    query: parameters from the query string, which are allowed instead of those in the document.
    """
    if not isinstance(document, dict) or AUDIO_KEY not in document:
        raise InvalidRequest(
            f'the request has no "{AUDIO_KEY}": it {_describe(document)}; '
            f'allowed: {{"{AUDIO_KEY}": "<base64 of an audio file>", "parameters": {{…}}}}'
        )
    if unknown := sorted(str(key) for key in document if key not in KEYS):
        raise InvalidParameter(f"the request has the unknown key {quote(unknown[0])}; allowed: {', '.join(KEYS)}")
    _check_options(document.get("options"))
    parameters = document.get("parameters")
    if query and parameters is not None:
        raise InvalidParameter(
            f"parameters are given in the body and in the query string ({quote(query[0][0])}); "
            "allowed: one of the two"
        )
    return ParsedRequest(
        audio=parse_inputs(document[AUDIO_KEY], max_audio_bytes=max_audio_bytes),
        parameters=parse_query(query) if query else parse_parameters(parameters),
    )


def _check_options(options: object) -> None:
    """Raise InvalidParameter for `options` that ask for anything but what is done anyway."""
    if options is None:
        return
    if not isinstance(options, dict) or (unknown := sorted(str(key) for key in options if key not in OPTIONS)):
        shown = f"has the key {quote(unknown[0])}" if isinstance(options, dict) else f"is {show_value(options)}"
        raise InvalidParameter(f"options {shown}; allowed: an object with {', '.join(OPTIONS)}")
    for key, value in options.items():
        OPTIONS[key].check(f"options.{key}", value)


def parse_raw(file: BinaryIO, *, media_type: str | None, query: Query) -> ParsedRequest:
    """Parse a body that is the audio file itself; its parameters are in the query string.

    media_type: used only where it describes samples without a header. Raises InvalidParameter.
    """
    return ParsedRequest(audio=describe_file(file, media_type), parameters=parse_query(query))


def _describe(document: object) -> str:
    if isinstance(document, dict):
        return f"has the keys {join_names(sorted(map(str, document)))}"
    return f"is of type {type(document).__name__}"
