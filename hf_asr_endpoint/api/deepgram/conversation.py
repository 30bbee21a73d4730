"""A session of `/v1/listen`: audio as binary frames, commands as JSON, results back."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

from hf_asr_endpoint.api.deepgram.parameters import ListenParameters
from hf_asr_endpoint.api.live_socket import NORMAL, Close, LiveSocket
from hf_asr_endpoint.api.outbox import Event
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.transcription.live.events import (
    CommitRefused,
    Completed,
    Delta,
    Failed,
    IdleTimeout,
    LiveEvent,
    LiveWord,
    SpeechStarted,
    SpeechStopped,
)

MAX_COMMAND_CHARACTERS = 4_096
CHANNEL = [0, 1]
"""The first of one."""


class ListenConversation:
    """A `Conversation`. Results are interim as words become certain, and final with a turn's whole text."""

    _socket: LiveSocket[str | bytes]

    def __init__(self, parameters: ListenParameters, *, request_id: str, model_name: str) -> None:
        self._parameters = parameters
        self._request_id = request_id
        self._model_name = model_name
        self._digest = hashlib.sha256()
        self._shown: list[LiveWord] = []  # of the turn that is not complete
        self._ended_by_silence: set[int] = set()
        self._idle: set[int] = set()  # empty turns behind a silence
        self._last_end_s = 0.0

    def begin(self, socket: LiveSocket[str | bytes]) -> None:
        self._socket = socket

    async def take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if message:
                self._digest.update(message)
                await self._socket.push(message, self._parameters.options)
            else:
                await self._close()
            return
        match _kind_of(message):
            case "KeepAlive":
                pass
            case "Finalize":
                if self._socket.live is not None:
                    self._socket.live.commit("finalize")
            case "CloseStream":
                await self._close()
            case kind:
                self._refuse(f"type is {show_value(kind)}; allowed: KeepAlive, Finalize or CloseStream")

    def tell(self, event: LiveEvent) -> None:
        match event:
            case SpeechStarted() if self._parameters.shows_speech:
                self._send("SpeechStarted", channel=CHANNEL, timestamp=round(event.at_s, 3))
            case SpeechStopped():
                self._ended_by_silence.add(event.turn)
            case IdleTimeout():
                self._idle.add(event.turn)
            case Delta():
                self._shown.extend(event.words)
                if self._parameters.shows_interims:
                    self._send_results(self._shown, is_final=False)
            case Completed():
                self._complete(event)
            case Failed():
                self._shown = []
                self._refuse(str(event.error))
            case CommitRefused():
                self._send_results([], is_final=True, from_finalize=True)
            case _:
                pass

    def end(self, error: AsrError | None, *, is_expired: bool) -> None:
        if error is not None:
            self._refuse(str(error))

    def _complete(self, event: Completed) -> None:
        self._shown = []
        if event.turn in self._idle:
            self._idle.remove(event.turn)
            self._send("UtteranceEnd", channel=CHANNEL, last_word_end=round(self._last_end_s, 3))
            return
        by_silence = event.turn in self._ended_by_silence
        self._ended_by_silence.discard(event.turn)
        if event.words:
            self._last_end_s = event.words[-1].word.end
        self._send_results(
            event.words,
            is_final=True,
            speech_final=by_silence,
            from_finalize=not by_silence,
            duration_s=event.duration_s,
        )

    async def _close(self) -> None:
        """Send what is left, then what the stream was."""
        await self._socket.finish_turns()
        self._send(
            "Metadata",
            transaction_key="deprecated",
            sha256=self._digest.hexdigest(),
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            duration=round(self._socket.audio_s, 3),
            channels=1,
            **self._metadata(),
        )
        self._socket.close(Close(NORMAL))

    def _send_results(
        self,
        words: Sequence[LiveWord],
        *,
        is_final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
        duration_s: float | None = None,
    ) -> None:
        start_s = words[0].word.start if words else self._last_end_s
        end_s = words[-1].word.end if words else start_s
        confidence = sum(word.word.probability or 0.0 for word in words) / len(words) if words else 0.0
        alternative = {
            "transcript": "".join(word.text for word in words).strip(),
            "confidence": round(confidence, 4),
            "words": [_describe(word) for word in words],
        }
        self._send(
            "Results",
            channel_index=CHANNEL,
            start=round(start_s, 3),
            duration=round(end_s - start_s if duration_s is None else duration_s, 3),
            is_final=is_final,
            speech_final=speech_final,
            from_finalize=from_finalize,
            channel={"alternatives": [alternative]},
            metadata=self._metadata(),
        )

    def _metadata(self) -> Event:
        info = {"name": self._model_name, "version": "", "arch": "whisper"}
        return {"request_id": self._request_id, "model_uuid": self._model_name, "model_info": info}

    def _refuse(self, message: str) -> None:
        self._send("Error", description=message, message=message, variant="")

    def _send(self, kind: str, **fields: Any) -> None:
        metadata = {"request_id": self._request_id} if kind == "Metadata" else {}
        self._socket.send({"type": kind, **metadata, **fields})


def _kind_of(text: str) -> object:
    if len(text) > MAX_COMMAND_CHARACTERS:
        return text
    try:
        command = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return command.get("type") if isinstance(command, dict) else command


def _describe(word: LiveWord) -> Event:
    spoken = word.text.strip()
    return {
        "word": spoken.strip(".,?!:;\"'()").lower(),
        "start": round(word.word.start, 3),
        "end": round(word.word.end, 3),
        "confidence": round(word.word.probability or 0.0, 4),
        "punctuated_word": spoken,
    }
