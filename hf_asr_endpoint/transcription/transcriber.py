"""The seam between the dialects and the engine."""

from __future__ import annotations

from typing import Protocol

from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.stream import LiveStream
from hf_asr_endpoint.transcription.stream import TranscriptionStream
from hf_asr_endpoint.types import ANYBODY, Activity, Caller, Health, Transcription, TranscriptionOptions


class Transcriber(Protocol):
    """Makes transcriptions, many at a time. Used in one event loop.

    Both ways to ask for one take ownership of the reader: it is closed in every case, once nothing reads from it
    any more, which may be a moment after the call has ended. Both raise InvalidParameter for options that this
    model cannot follow, InvalidAudio and its kinds for the audio, Overloaded when too much audio waits already and
    the caller is not patient, EngineError when the model fails, and EngineUnavailable when there is none.
    """

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        """Return the transcription of a recording. Cancelling the call stops the work within one decoding step."""
        ...

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        """Begin a transcription whose segments are wanted early, and return it in flight.

        Raises only what is known at once; the rest is raised by the stream.
        """
        ...

    async def live(self, options: LiveOptions, caller: Caller = ANYBODY) -> LiveStream:
        """Open a live session. Raises InvalidParameter, EngineUnavailable and ModelNotLoaded."""
        ...

    def health(self, model: str | None = None) -> Health:
        """Return whether transcriptions can be made now, by a model or, without one, at all. Never blocks."""
        ...

    def activity(self, model: str | None = None) -> Activity:
        """Return what a model does, by default the default one, and what it has done since it was loaded.

        Never blocks.
        """
        ...

    def close(self) -> None:
        """Stop all work and free the model. Blocks. Calls in flight raise EngineUnavailable."""
        ...
