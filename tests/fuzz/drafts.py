"""Valid requests of every dialect, in parts that can still be changed, and how their bodies are written."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

BodyKind = Literal["raw", "json", "form", "urlencoded", "none"]
BOUNDARY = b"fuzz"


@dataclass(slots=True)
class Field:
    """A field of a form, or a key of a JSON document.

    value: text, as a form has it. is_raw: in JSON, the value stands as it is. level: how deep a JSON document
    has it. headers: further ones of its part, each line with its end.
    """

    name: bytes
    value: bytes
    is_raw: bool = False
    level: int = 0
    file_name: bytes | None = None
    headers: bytes = b""


@dataclass(slots=True)
class Draft:
    """A request before it is written. nesting: the keys of the objects that a JSON document has in each other."""

    method: bytes
    path: bytes
    audio: bytes
    audio_field: bytes
    kind: BodyKind
    nesting: tuple[bytes, ...] = ()
    query: list[Field] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content_type: bytes | None = None
    boundary: bytes = BOUNDARY
    raw_query: bytes | None = None

    def with_audio(self, rng: random.Random) -> None:
        """Put the audio among the fields, in one of the forms that the kind of body has."""
        audio = Field(self.audio_field, self.audio)
        if self.kind == "form":
            audio.file_name = b"a.wav"
            audio.headers = b"Content-Type: audio/wav\r\n"
        elif self.kind == "json":
            audio.value, audio.is_raw = _json_audio(rng, self), True
        elif self.kind == "urlencoded":
            audio.value = base64.b64encode(self.audio)
        else:
            return
        self.fields.insert(rng.choice((0, len(self.fields))), audio)

    def target(self) -> bytes:
        query = self.raw_query
        if query is None:
            query = b"&".join(quote(item.name) + b"=" + quote(item.value) for item in self.query)
        return self.path + (b"?" + query if query else b"")

    def body(self) -> tuple[bytes, bytes | None]:
        """Return the body and its media type."""
        if self.kind == "form":
            return write_form(self.fields, self.boundary), b"multipart/form-data; boundary=" + self.boundary
        if self.kind == "json":
            return write_json(self.fields, self.nesting), b"application/json"
        if self.kind == "urlencoded":
            pairs = (quote(item.name) + b"=" + quote(item.value) for item in self.fields)
            return b"&".join(pairs), b"application/x-www-form-urlencoded"
        return (self.audio, b"audio/wav") if self.kind == "raw" else (b"", None)


def quote(text: bytes) -> bytes:
    """Percent-encode all but letters and digits."""
    return b"".join(b"%c" % byte if chr(byte).isalnum() and byte < 128 else b"%%%02X" % byte for byte in text)


def write_form(fields: Sequence[Field], boundary: bytes) -> bytes:
    """Return the fields as multipart/form-data."""
    parts = []
    for item in fields:
        file_name = b"" if item.file_name is None else b'; filename="' + item.file_name + b'"'
        head = b'Content-Disposition: form-data; name="' + item.name + b'"' + file_name + b"\r\n" + item.headers
        parts.append(b"--" + boundary + b"\r\n" + head + b"\r\n" + item.value + b"\r\n")
    return b"".join(parts) + b"--" + boundary + b"--\r\n"


def write_json(fields: Sequence[Field], nesting: Sequence[bytes], level: int = 0) -> bytes:
    """Return an object with the fields of a level, and in it the object of the next level, if it has fields."""
    pairs = [_json_text(item.name) + b":" + _json_value(item) for item in fields if item.level == level]
    if level < len(nesting) and any(item.level > level for item in fields):
        pairs.append(_json_text(nesting[level]) + b":" + write_json(fields, nesting, level + 1))
    return b"{" + b", ".join(pairs) + b"}"


def _json_value(item: Field) -> bytes:
    if item.is_raw:
        return item.value
    try:
        json.loads(item.value)
    except (ValueError, RecursionError):
        return _json_text(item.value)
    return item.value


def _json_text(text: bytes) -> bytes:
    return json.dumps(text.decode("utf-8", "surrogateescape")).encode()


def _json_audio(rng: random.Random, draft: Draft) -> bytes:
    encoded = b'"' + base64.b64encode(draft.audio) + b'"'
    if draft.audio_field == b"inputs" and rng.random() < 0.3:
        samples = [round(rng.uniform(-0.5, 0.5), 4) for _ in range(rng.choice((0, 1, 2_000)))]
        array = rng.choice((samples, [samples, samples]))
        return json.dumps({"array": array, "sampling_rate": rng.choice((8_000, 16_000, 44_100))}).encode()
    if draft.audio_field == b"inputs" and rng.random() < 0.1:
        raw = base64.b64encode(draft.audio[44:])
        return b'"data:audio/l16;rate=16000;base64,' + raw + b'"'
    if draft.audio_field == b"input_audio":
        return b'{"data": ' + encoded + b', "format": "wav"}'
    return encoded
