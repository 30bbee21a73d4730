"""A request's fields and its audio, whether they came as a form or as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hf_asr_endpoint.api.deepinfra.schema import AUDIO, LISTS
from hf_asr_endpoint.api.encoded_audio import ALLOWED, parse_base64
from hf_asr_endpoint.api.multipart import Form, Part
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest, MissingParameter

MAX_TEXT_BYTES = 64 * 2**10
"""Of a field in JSON, as of one in a form."""

N_HEAD_BYTES = 512
_TEXT = re.compile(rb"[\t\r\n -~]+")  # No format of audio begins with so many printable characters.

_JSON_TYPES: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "an object",  # as its pairs
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """texts: all fields but the audio, in their order, from which `parse_parameters` makes options."""

    texts: tuple[tuple[str, str], ...]
    audio: EncodedAudio


def take_form(form: Form, *, query: Iterable[tuple[str, str]], max_audio_bytes: int) -> Received:
    """Return what a form holds, whose files stay in use. Blocks. Raises InvalidRequest and its kinds.

    The audio may be a file, with or without filename, or a text: base64, plain or in a data: URL.
    query: fields from the query string, which count like those of the form.
    """
    parts = [part for part in form.parts if part.name == AUDIO]
    texts = [(part.name, _text(part)) for part in form.parts if part.name != AUDIO]
    if not parts:
        raise _missing()
    if len(parts) > 1 or not parts[0].n_bytes:
        what = "is empty" if len(parts) == 1 else f"is given {len(parts)} times"
        raise InvalidParameter(f"{AUDIO} {what}; allowed: one audio file", parameter=AUDIO)
    return Received(texts=(*query, *texts), audio=_audio(parts[0], max_audio_bytes=max_audio_bytes))


def take_document(content: bytes, *, query: Iterable[tuple[str, str]], max_audio_bytes: int) -> Received:
    """Return what a JSON object holds, its audio as base64. Its other values become the texts of a form.

    Raises InvalidRequest and its kinds.
    """
    try:
        # Objects become tuples of their pairs, so that a name given twice is seen; lists stay lists.
        document = json.loads(content, object_pairs_hook=lambda pairs: tuple(pairs))
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(
            f"the body begins like JSON but is not valid ({exc}); allowed: a multipart form, or a JSON object"
        ) from exc
    if not isinstance(document, tuple):
        raise InvalidRequest(f"the JSON body is {_JSON_TYPES[type(document)]}; allowed: an object with {AUDIO}")
    audio = [value for name, value in document if name == AUDIO]
    texts = [(name, _dump(name, value)) for name, value in document if name != AUDIO]
    if not audio:
        raise _missing()
    if len(audio) > 1 or not isinstance(audio[0], str):
        what = f"is {_JSON_TYPES[type(audio[0])]}" if len(audio) == 1 else f"is given {len(audio)} times"
        raise InvalidParameter(f"{AUDIO} {what}; allowed: {ALLOWED}", parameter=AUDIO)
    return Received(
        texts=(*query, *texts), audio=parse_base64(audio[0], name=AUDIO, max_audio_bytes=max_audio_bytes)
    )


def _audio(part: Part, *, max_audio_bytes: int) -> EncodedAudio:
    head = part.file.read(N_HEAD_BYTES)
    part.file.seek(0)
    if part.filename is None and _TEXT.fullmatch(head):
        return parse_base64(part.text(), name=AUDIO, max_audio_bytes=max_audio_bytes)
    return EncodedAudio(file=part.file)


def _text(part: Part) -> str:
    if part.filename is not None:
        raise InvalidParameter(f"{part.name} is sent as a file; allowed as a file: {AUDIO}", parameter=part.name)
    return part.text()


def _dump(name: str, value: Any) -> str:
    """Return a value as a form would have it."""
    if isinstance(value, tuple) or (isinstance(value, list) and name not in LISTS):
        raise InvalidParameter(
            f"{name[:100]} is {_JSON_TYPES[type(value)]}; allowed: a text, a number, true, false or null, "
            f"and a list for {' and '.join(LISTS)}",
            parameter=name[:100],
        )
    text = json.dumps(value)
    if len(text) > MAX_TEXT_BYTES:
        raise InvalidParameter(
            f"{name[:100]} is {len(text)} bytes long; allowed: {MAX_TEXT_BYTES} bytes at most",
            parameter=name[:100],
        )
    return text


def _missing() -> MissingParameter:
    return MissingParameter(f"{AUDIO} is missing; allowed: an audio file", parameter=AUDIO)
