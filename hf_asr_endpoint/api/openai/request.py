"""OpenAI's requests, as a form or as JSON with the audio in base64, which OpenRouter's clients send.

JSON becomes what a form would hold, so that both are parsed alike. Sources: OpenRouter's page on speech to text
(`input_audio: {data, format}`), and Open WebUI's _transcribe_openai, which sends the same if it is set to JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hf_asr_endpoint.api.body_parser import AcceptedBodies, Body
from hf_asr_endpoint.api.encoded_audio import ALLOWED
from hf_asr_endpoint.api.json_body import JsonBody
from hf_asr_endpoint.api.multipart import FormBody
from hf_asr_endpoint.api.openai.fields import LISTS
from hf_asr_endpoint.api.openai.form import FILE
from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS, given_twice
from hf_asr_endpoint.api.values import plain
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest
from hf_asr_endpoint.messages import show_value

INPUT_AUDIO = "input_audio"
AUDIO_PATHS = ((INPUT_AUDIO, "data"), (FILE,), ("audio",))

ACCEPTED = AcceptedBodies(audio_field=FILE, json=True, form=True, base64_part=True, json_paths=AUDIO_PATHS)

HEADERLESS_FORMATS = ("pcm", "pcm16", "pcm24", "l16", "g711_ulaw", "g711_alaw")
"""Formats of `input_audio` that the bytes cannot show. They show every other, whatever it is called."""


def as_form(body: Body) -> FormBody:
    """Return a form, or JSON as the form that it stands for. Raises InvalidRequest and its kinds."""
    if isinstance(body, JsonBody):
        return form_of(body.document)
    assert isinstance(body, FormBody)
    return body


def form_of(document: Any) -> FormBody:
    """Return the form that a JSON document stands for. Raises InvalidRequest and its kinds."""
    if not isinstance(document, dict):
        raise InvalidRequest(f"the JSON body is {show_value(document)}; allowed: an object with {INPUT_AUDIO}")
    found: list[EncodedAudio] = []
    texts: list[tuple[str, str]] = []
    for name, value in document.items():
        if (name,) in AUDIO_PATHS or name == INPUT_AUDIO:
            found += _audio(name, value)
        else:
            texts += ((name, text) for text in _texts(name, value))
    if len(found) > 1:
        raise given_twice("the audio")
    return FormBody(texts=tuple(texts), audio=found[0] if found else None)


def _audio(name: str, value: Any) -> Iterator[EncodedAudio]:
    if isinstance(value, EncodedAudio):
        yield value
    elif name == INPUT_AUDIO and isinstance(value, dict):
        if unknown := sorted(value.keys() - {"data", "format"}):
            raise InvalidParameter(
                f"{INPUT_AUDIO} has the key {show_value(unknown[0])}; allowed: data, format", parameter=INPUT_AUDIO
            )
        _check_format(value.get("format"))
        yield from _audio(f"{INPUT_AUDIO}.data", value.get("data"))
    elif value is not None:
        raise InvalidParameter(f"{name} is {show_value(value)}; allowed: {ALLOWED}", parameter=name)


def _check_format(value: object) -> None:
    """Refuse a format that says that the samples have no header. The bytes show all others."""
    if value is not None and not isinstance(value, str):
        raise InvalidParameter(
            f"{INPUT_AUDIO}.format is {show_value(value)}; allowed: a text, such as wav", parameter=INPUT_AUDIO
        )
    if value is not None and plain(value).lower() in HEADERLESS_FORMATS:
        raise InvalidParameter(
            f"{INPUT_AUDIO}.format is {show_value(value)}, whose samples have no header; allowed: an audio file, "
            'or data as a URL that describes them, "data:audio/L16;rate=24000;base64,…"',
            parameter=INPUT_AUDIO,
        )


def _texts(name: str, value: Any) -> Iterator[str]:
    """Yield a value as a form would have it: a list as a repeated field."""
    if isinstance(value, list) and name in LISTS:
        yield from (json.dumps([item]) if isinstance(item, str) else _text(name, item) for item in value)
    else:
        yield _text(name, value)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict) and name in LISTS:
        name = name[:MAX_NAME_CHARACTERS]
        raise InvalidParameter(f"{name} is {show_value(value)}; allowed: a list of texts", parameter=name)
    return json.dumps(value)
