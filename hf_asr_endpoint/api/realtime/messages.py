"""A client's events: text of a frame to what it asks for. Takes linear time, and memory for the audio alone."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from hf_asr_endpoint.api.realtime.schema import SessionSettings
from hf_asr_endpoint.api.realtime.validation import validate
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest, MissingParameter, UnknownParameter
from hf_asr_endpoint.messages import show_value

MAX_AUDIO_BYTES = 15 * 2**20
"""Of one append, decoded; OpenAI's limit."""
MAX_MESSAGE_BYTES = 21 * 2**20
"""Of one frame: that audio in base64, and some room."""
MAX_PLAIN_CHARACTERS = 64 * 2**10
"""Of a frame without its audio. More is never parsed as JSON: nested lists would take a hundred times its size."""
MAX_ID_CHARACTERS = 512

APPEND, COMMIT, CLEAR = (f"input_audio_buffer.{name}" for name in ("append", "commit", "clear"))
UPDATE = "session.update"
FIELDS = {APPEND: ("audio",), COMMIT: (), CLEAR: (), UPDATE: ("session",)}
BETA = "transcription_session.update"

_AUDIO = re.compile(r'"audio"\s*:\s*"([^"\\]*)"')


class BetaShape(InvalidRequest):
    """The event is of the API before 2026, which OpenAI has turned off, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientEvent:
    """type: a key of FIELDS. audio: of an append. settings: of an update."""

    type: str
    event_id: str | None
    audio: bytes = b""
    settings: SessionSettings | None = None


class RefusedEvent(Exception):
    """An event that cannot be followed. event_id: the client's, if it could be read."""

    def __init__(self, error: InvalidRequest, event_id: str | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.event_id = event_id


def parse_event(text: str) -> ClientEvent:
    """Return the event. Raises RefusedEvent."""
    audio = ""
    if len(text) > MAX_PLAIN_CHARACTERS and (found := _AUDIO.search(text)):
        audio = found[1]
        text = f"{text[: found.start(1)]}{text[found.end(1) :]}"
    if len(text) > MAX_PLAIN_CHARACTERS:
        raise RefusedEvent(
            InvalidParameter(
                f"the event has {len(text)} characters; allowed: {MAX_PLAIN_CHARACTERS}, and audio in base64"
            )
        )
    event = _parse_json(text)
    event_id = event.pop("event_id", None)
    if event_id is not None and (not isinstance(event_id, str) or len(event_id) > MAX_ID_CHARACTERS):
        shown = show_value(event_id)
        raise RefusedEvent(
            InvalidParameter(
                f"event_id is {shown}; allowed: a text of at most {MAX_ID_CHARACTERS} characters",
                parameter="event_id",
            )
        )
    try:
        return _read(event, event_id, audio)
    except InvalidRequest as exc:
        raise RefusedEvent(exc, event_id) from exc


def _parse_json(text: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
        if "\\" in text:
            json.dumps(event, ensure_ascii=False).encode()  # Names and ids are sent back.
    except UnicodeEncodeError as exc:
        raise RefusedEvent(
            InvalidRequest("the event has half of a surrogate pair; allowed: whole Unicode characters")
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise RefusedEvent(InvalidRequest(f"the event is not valid JSON ({exc}); allowed: a JSON object")) from exc
    if not isinstance(event, dict):
        raise RefusedEvent(InvalidRequest(f"the event is {show_value(event)}; allowed: a JSON object"))
    return event


def _read(event: dict[str, Any], event_id: str | None, audio: str) -> ClientEvent:
    kind = event.pop("type", None)
    if kind == BETA:
        raise BetaShape(
            f"{BETA} belongs to the beta API, which is off; allowed: {UPDATE}, with session.audio.input"
        )
    if not isinstance(kind, str) or kind not in FIELDS:
        raise InvalidParameter(f"type is {show_value(kind)}; allowed: {', '.join(FIELDS)}", parameter="type")
    for name in event:
        if name not in FIELDS[kind]:
            raise UnknownParameter(f"{kind} has no field {show_value(name)}", parameter=name[:MAX_ID_CHARACTERS])
    for name in FIELDS[kind]:
        if name not in event:
            raise MissingParameter(f"{kind} has no {name}; allowed: {name}", parameter=name)
    if kind == APPEND:
        return ClientEvent(type=kind, event_id=event_id, audio=_decode(audio or event["audio"]))
    if kind == UPDATE:
        settings = validate(SessionSettings, event["session"], name="session")
        return ClientEvent(type=kind, event_id=event_id, settings=settings)
    return ClientEvent(type=kind, event_id=event_id)


def _decode(audio: object) -> bytes:
    if not isinstance(audio, str):
        raise InvalidParameter(f"audio is {show_value(audio)}; allowed: base64", parameter="audio")
    try:
        data = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidParameter(
            f"audio is {show_value(audio)}, which is not base64 ({exc}); allowed: base64", parameter="audio"
        ) from exc
    if len(data) > MAX_AUDIO_BYTES:
        raise InvalidParameter(
            f"audio has {len(data)} bytes; allowed: {MAX_AUDIO_BYTES} in one event", parameter="audio"
        )
    return data
