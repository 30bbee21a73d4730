"""One connection: what there is, if the client asks, and the text of one utterance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hf_asr_endpoint.api.errors import MESSAGE_FORMAT, translate_exception
from hf_asr_endpoint.api.live_handshake import check_models
from hf_asr_endpoint.api.live_socket import FAILED, NORMAL, Close, LiveSocket
from hf_asr_endpoint.api.outbox import Event
from hf_asr_endpoint.api.plain_fields import validate
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.api.wyoming.info import describe
from hf_asr_endpoint.api.wyoming.parameters import AudioFields, PingFields, parse_audio, parse_transcribe
from hf_asr_endpoint.api.wyoming.wire import ClientEvent, Message
from hf_asr_endpoint.errors import AsrError, InvalidParameter, InvalidRequest
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.transcription.live.events import CommitRefused, Committed, Completed, Delta, Failed, LiveEvent
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.transcriber import Transcriber

ALLOWED = "describe, ping, transcribe, audio-start, audio-chunk, audio-stop"

TakePlace = Callable[[Callable[[], None]], None]
"""Takes a place among the live sessions; its argument has this one end. Raises AsrError if there is none."""


class WyomingConversation:
    """A `Conversation`.

    An error ends the connection where no transcript can follow it: a client that does not know the event would
    wait for one.
    """

    _socket: LiveSocket[Message]

    def __init__(self, transcriber: Transcriber, *, models: ServedModels, take_place: TakePlace) -> None:
        self._transcriber = transcriber
        self._models = models
        self._take_place = take_place
        self._options = LiveOptions(turn_detection=None)
        self._has_begun = False
        self._has_stopped = False
        self._has_turn = False  # whose text comes: a shutdown ends it before the client's audio-stop
        self._has_text = False
        self.is_answered = False
        self.error: AsrError | None = None

    @property
    def kind(self) -> str:
        """What the client wanted, for the log."""
        return "transcribe" if self._has_begun or self.error else "describe"

    def begin(self, socket: LiveSocket[Message]) -> None:
        self._socket = socket

    async def take(self, message: Message) -> None:
        if isinstance(message, bytes):
            await self._socket.push(message, self._options)
            return
        if message.payload_bytes and message.kind != "audio-chunk":
            what = f"{show_value(message.kind)} has a payload of {message.payload_bytes} bytes"
            raise InvalidRequest(f"{what}; allowed: a payload of audio-chunk")
        match message.kind:
            case "describe":
                check_models(self._transcriber, [model.id for model in self._models])
                self._send("info", **describe(self._transcriber, self._models))
            case "ping":
                self._send("pong", **validate(PingFields, message.data).model_dump(exclude_none=True))
            case "transcribe":
                self._check_order(message, is_allowed=not self._has_begun)
                self._options = parse_transcribe(message.data, self._models)
                self._check_model()
            case "audio-start":
                self._check_order(message, is_allowed=not self._has_begun)
                self._start(message)
            case "audio-chunk":
                self._check_order(message, is_allowed=not self._has_stopped)
                self._check_chunk(message)
            case "audio-stop":
                self._check_order(message, is_allowed=self._has_begun and not self._has_stopped)
                self._stop()
            case kind:
                self._send_error(InvalidRequest(f"type is {show_value(kind)}; allowed: {ALLOWED}"))

    def tell(self, event: LiveEvent) -> None:
        match event:
            case Delta():
                text = "".join(word.text for word in event.words)
                chunk = text if self._has_text else text.lstrip()
                self._begin_text()
                self._send("transcript-chunk", text=chunk)
            case Completed():
                self._answer(event.text, event.language)
            case Committed():
                self._has_turn = True
            case CommitRefused() if not self._has_turn:  # There is next to no audio.
                self._answer("")
            case Failed():
                self.end(translate_exception(event.error), is_expired=False)
                self._socket.close(Close(FAILED))
            case _:
                pass

    def end(self, error: AsrError | None, *, is_expired: bool) -> None:
        if error is not None and not self.is_answered:
            self.error = error
            self._send_error(error)

    def _check_order(self, event: ClientEvent, *, is_allowed: bool) -> None:
        if not is_allowed:
            raise InvalidRequest(
                f"{event.kind} came at the wrong time; allowed on one connection: transcribe (or not), "
                "audio-start, any number of audio-chunk, audio-stop"
            )

    def _check_model(self) -> None:
        check_models(self._transcriber, [self._options.model or self._models.default.id])

    def _start(self, event: ClientEvent) -> None:
        self._check_model()
        self._options = replace(self._options, audio=parse_audio(event.data))
        self._take_place(self._socket.finish)
        self._has_begun = True

    def _check_chunk(self, event: ClientEvent) -> None:
        """Compare a chunk's format with that of the beginning. One without a beginning is the beginning."""
        if not self._has_begun:
            self._start(event)
        pcm = self._options.audio
        begun = {"rate": pcm.sample_rate, "width": pcm.frame_bytes // pcm.n_channels, "channels": pcm.n_channels}
        for name in AudioFields.model_fields:
            if (given := event.data.get(name, begun[name])) != begun[name]:
                raise InvalidParameter(
                    f"{name} is {show_value(given)} in audio-chunk, but the audio began with {begun[name]}; "
                    "allowed: the same in all events of an utterance",
                    parameter=name,
                )

    def _stop(self) -> None:
        self._has_stopped = True
        live = self._socket.live
        if live is None:
            self._answer("")
        else:
            live.commit()
            live.finish()

    def _begin_text(self, language: str | None = None) -> None:
        if not self._has_text:
            self._has_text = True
            self._send("transcript-start", **_given(language=self._options.language or language))

    def _answer(self, text: str, language: str | None = None) -> None:
        self._begin_text(language)
        self._send("transcript", text=text, **_given(language=language))
        self._send("transcript-stop")
        self.is_answered = True
        self._socket.close(Close(NORMAL))

    def _send_error(self, error: AsrError) -> None:
        self._send("error", text=MESSAGE_FORMAT.describe(error).message, code=type(error).__name__)

    def _send(self, kind: str, **data: Any) -> None:
        self._socket.send({"type": kind, "data": data})


def join_chunks(before: Event, event: Event) -> Event | None:
    """Return the text of two chunks as one; None for other events."""
    if {before["type"], event["type"]} != {"transcript-chunk"}:
        return None
    return {**before, "data": {"text": before["data"]["text"] + event["data"]["text"]}}


def _given(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}
