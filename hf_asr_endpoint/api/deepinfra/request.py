"""A request's fields and its audio, whether they came as a form or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hf_asr_endpoint.api.body_parser import AcceptedBodies, Body
from hf_asr_endpoint.api.deepinfra.schema import AUDIO, FIXED, LISTS
from hf_asr_endpoint.api.encoded_audio import ALLOWED
from hf_asr_endpoint.api.json_body import JsonBody
from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest, MissingParameter

ACCEPTED = AcceptedBodies(audio_field=AUDIO, json=True, form=True, base64_part=True)

_JSON_TYPES: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedFields:
    """texts: all fields but the audio, in their order, from which `parse_parameters` makes options."""

    texts: tuple[tuple[str, str], ...]
    audio: EncodedAudio


def take_fields(body: Body, *, query: Iterable[tuple[str, str]]) -> ReceivedFields:
    """Return what a body holds, whose file stays in use. Raises InvalidRequest and its kinds.

    The values of a JSON object become the texts of a form. query: fields from the query string, which count like
    those of the body.
    """
    if isinstance(body, FormBody):
        texts, audio = body.texts, body.audio
    else:
        assert isinstance(body, JsonBody)
        texts, audio = _take_document(body.document)
    if audio is None:
        raise MissingParameter(f"{AUDIO} is missing; allowed: an audio file", parameter=AUDIO)
    return ReceivedFields(texts=(*query, *texts), audio=audio)


def _take_document(document: Any) -> tuple[tuple[tuple[str, str], ...], EncodedAudio | None]:
    if not isinstance(document, dict):
        raise InvalidRequest(f"the JSON body is {_JSON_TYPES[type(document)]}; allowed: an object with {AUDIO}")
    texts = tuple((name, _dump(name, value)) for name, value in document.items() if name != AUDIO)
    if AUDIO not in document:
        return texts, None
    audio = document[AUDIO]
    if not isinstance(audio, EncodedAudio):
        raise InvalidParameter(f"{AUDIO} is {_JSON_TYPES[type(audio)]}; allowed: {ALLOWED}", parameter=AUDIO)
    return texts, audio


def _dump(name: str, value: Any) -> str:
    """Return a value as a form would have it."""
    is_large = isinstance(value, dict) or (isinstance(value, list) and name not in LISTS)
    if is_large and name not in FIXED:
        name = name[:MAX_NAME_CHARACTERS]
        raise InvalidParameter(
            f"{name} is {_JSON_TYPES[type(value)]}; allowed: a text, a number, true, false or null, "
            f"and a list for {' and '.join(LISTS)}",
            parameter=name,
        )
    return json.dumps(value)
