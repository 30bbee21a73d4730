"""Orders for preparation, and whoever takes what comes of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from queue import Queue
from typing import Any

from hf_asr_endpoint.audio.chunking import ChunkingOptions
from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, open_waveform
from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.transcription.preparation import PreparationEnd, PreparationOrder, PreparedChunk
from hf_asr_endpoint.transcription.spectrogram import SpectrogramMaker

DEADLINE_S = 60.0  # Processes import torch, beside other tests.
MAKER = SpectrogramMaker(n_mels=80, encoder_padding_s=4.0)


class Consumer:
    """Takes what comes of a recording."""

    def __init__(
        self,
        audio: bytes | AudioSource,
        *,
        max_ahead: int = 1000,
        chunk_length_s: float = 30.0,
        ramps_up: bool = False,
        max_audio_s: float = 3600.0,
        audio_track: int | None = None,
        on_length: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        source = EncodedAudio(file=io.BytesIO(audio)) if isinstance(audio, bytes) else audio
        self.token = CancellationToken()
        self.events: Queue[PreparedChunk | PreparationEnd] = Queue()
        self.reader = open_waveform(source, max_audio_s=max_audio_s, audio_track=audio_track)
        self.order = PreparationOrder(
            reader=self.reader,
            chunking=ChunkingOptions(chunk_length_s=chunk_length_s),
            max_ahead=max_ahead,
            token=self.token,
            deliver=self.events.put,
            ramps_up=ramps_up,
            on_length=on_length,
        )

    def chunk(self) -> PreparedChunk:
        event = self.events.get(timeout=DEADLINE_S)
        assert isinstance(event, PreparedChunk), event
        return event

    def rest(self) -> tuple[list[PreparedChunk], PreparationEnd]:
        """Return all chunks that are still to come, and the end, after which nothing comes."""
        chunks = []
        while isinstance(event := self.events.get(timeout=DEADLINE_S), PreparedChunk):
            chunks.append(event)
        assert self.events.empty()
        return chunks, event

    @property
    def error(self) -> Exception | None:
        return self.rest()[1].error

    @property
    def has_closed(self) -> bool:
        source = self.reader.order.source
        return isinstance(source, EncodedAudio) and source.file.closed


def comparable(error: Exception | None) -> tuple[type, str, dict[str, Any]]:
    return type(error), str(error), vars(error) if error else {}
