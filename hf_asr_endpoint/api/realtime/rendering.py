"""A session's events as the Realtime API shows them. Times are milliseconds of the session's audio."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from hf_asr_endpoint.api.errors import INTERNAL_ERROR
from hf_asr_endpoint.api.openai.errors import code_of
from hf_asr_endpoint.api.outbox import Event
from hf_asr_endpoint.api.realtime.messages import BetaShape
from hf_asr_endpoint.api.realtime.schema import INTERIM, LOGPROBS, WORDS, Included
from hf_asr_endpoint.errors import AsrError, InvalidParameter, InvalidRequest
from hf_asr_endpoint.transcription.live.events import (
    Cleared,
    CommitRefused,
    Committed,
    Completed,
    Configured,
    Delta,
    Failed,
    IdleTimeout,
    Interim,
    LiveEvent,
    LiveWord,
    SpeechStarted,
    SpeechStopped,
)

BUFFER, TRANSCRIPTION = "input_audio_buffer", "conversation.item.input_audio_transcription"
DELTA, INTERIM_TEXT = f"{TRANSCRIPTION}.delta", f"{TRANSCRIPTION}.interim"
MIN_COMMIT_MS = 100


def new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:24]}"


def make_event(kind: str, **fields: Any) -> Event:
    return {"type": kind, "event_id": new_id("event"), **fields}


def error_event(
    error: Exception, *, event_id: str | None = None, code: str | None = None, param: str | None = None
) -> Event:
    """Return the event for an error that the session survives. event_id: of the client's event."""
    shown = describe_error(error, code=code, param=param)
    return make_event("error", error={**shown, "event_id": event_id})


def describe_error(error: Exception, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    is_request = isinstance(error, InvalidRequest)
    if isinstance(error, InvalidParameter) and param is None:
        param = error.parameter
    if isinstance(error, BetaShape):
        code = "beta_api_shape_disabled"
    elif isinstance(error, AsrError) and code is None:
        code = code_of(error)
    return {
        "type": "invalid_request_error" if is_request else "server_error",
        "code": code,
        "message": str(error) if isinstance(error, AsrError) else INTERNAL_ERROR,
        "param": param,
    }


def join_deltas(before: Event, event: Event) -> Event | None:
    """Return a delta that has what two have, or what replaces an interim; None for others, and for two items."""
    kinds = (before["type"], event["type"])
    if not {*kinds} <= {DELTA, INTERIM_TEXT} or before["item_id"] != event["item_id"]:
        return None
    if kinds[0] == INTERIM_TEXT:
        return event
    if kinds[1] == INTERIM_TEXT:
        return None
    joined = {**before, "delta": before["delta"] + event["delta"]}
    for name in ("logprobs", "words"):
        if name in before:
            joined[name] = [*before[name], *event.get(name, ())]
    return joined


class EventRenderer:
    """Remembers the items of one session, and what is to be shown of them."""

    def __init__(self) -> None:
        self.include: Sequence[Included] = ()
        self._items: dict[int, str] = {}
        self._begun: set[int] = set()  # turns that have had a delta
        self._previous: str | None = None

    def render(self, event: LiveEvent) -> list[Event]:
        """Return the event's events; none for one that the connection answers itself."""
        match event:
            case SpeechStarted():
                return [
                    make_event(
                        f"{BUFFER}.speech_started", audio_start_ms=_ms(event.at_s), item_id=self._item(event.turn)
                    )
                ]
            case SpeechStopped():
                return [
                    make_event(
                        f"{BUFFER}.speech_stopped", audio_end_ms=_ms(event.at_s), item_id=self._item(event.turn)
                    )
                ]
            case IdleTimeout():
                return [
                    make_event(
                        f"{BUFFER}.timeout_triggered",
                        audio_start_ms=_ms(event.start_s),
                        audio_end_ms=_ms(event.end_s),
                        item_id=self._item(event.turn),
                    )
                ]
            case Committed():
                return self._commit(event)
            case Delta():
                return [self._delta(event)]
            case Interim():
                return [self._interim(event)] if INTERIM in self.include else []
            case Completed():
                return [self._complete(event)]
            case Failed():
                failed = make_event(
                    f"{TRANSCRIPTION}.failed",
                    item_id=self._forget(event.turn),
                    content_index=0,
                    error=describe_error(event.error),
                )
                return [failed]
            case Cleared():
                return [make_event(f"{BUFFER}.cleared")]
            case CommitRefused():
                return [_refuse_commit(event)]
            case Configured():
                return []

    def _item(self, turn: int) -> str:
        return self._items.setdefault(turn, new_id("item"))

    def _forget(self, turn: int) -> str:
        self._begun.discard(turn)
        return self._items.pop(turn, None) or new_id("item")

    def _commit(self, event: Committed) -> list[Event]:
        item_id, previous = self._item(event.turn), self._previous
        self._previous = item_id
        item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        return [
            make_event(f"{BUFFER}.committed", previous_item_id=previous, item_id=item_id),
            make_event("conversation.item.added", previous_item_id=previous, item=item),
            make_event("conversation.item.done", previous_item_id=previous, item=item),
        ]

    def _delta(self, event: Delta) -> Event:
        fields: Event = {"item_id": self._item(event.turn), "content_index": 0, "delta": self._text(event)}
        self._begun.add(event.turn)
        return make_event(DELTA, **fields, **self._details(event.words))

    def _interim(self, event: Interim) -> Event:
        fields: Event = {"item_id": self._item(event.turn), "content_index": 0, "text": self._text(event)}
        return make_event(INTERIM_TEXT, **fields, **self._details(event.words))

    def _text(self, event: Delta | Interim) -> str:
        """Return what follows the turn's text so far."""
        text = "".join(word.text for word in event.words)
        return text if event.turn in self._begun else text.lstrip()

    def _complete(self, event: Completed) -> Event:
        return make_event(
            f"{TRANSCRIPTION}.completed",
            item_id=self._forget(event.turn),
            content_index=0,
            transcript=event.text,
            usage={"type": "duration", "seconds": round(event.duration_s, 3)},
            **self._details(event.words),
            **({"languages": [{"code": event.language}]} if event.language else {}),
        )

    def _details(self, words: Sequence[LiveWord]) -> Event:
        details: Event = {}
        if LOGPROBS in self.include:
            details["logprobs"] = [
                {
                    "token": one.token.decode(errors="replace"),
                    "logprob": one.logprob,
                    "bytes": list(one.token),
                }
                for word in words
                for one in word.logprobs
            ]
        if WORDS in self.include:
            details["words"] = [
                {
                    "word": word.text.strip(),
                    "start": round(word.word.start, 2),
                    "end": round(word.word.end, 2),
                    "probability": round(word.word.probability or 0.0, 4),
                }
                for word in words
            ]
        return details


def _refuse_commit(event: CommitRefused) -> Event:
    """In OpenAI's words, which clients look for."""
    buffered_ms = event.buffered_s * 1000
    error = InvalidRequest(
        f"Error committing input audio buffer: buffer too small. Expected at least {MIN_COMMIT_MS}ms of audio, "
        f"but buffer only has {buffered_ms:.2f}ms of audio."
    )
    return error_event(error, event_id=event.tag, code=f"{BUFFER}_commit_empty")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
