"""The seam between whoever asks for transcriptions and the engine that makes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from hf_asr_endpoint.types import Health, Transcription, TranscriptionOptions, Waveform


class Transcriber(Protocol):
    """Makes transcriptions, many at a time as far as its callers are concerned."""

    async def transcribe(self, waveform: Iterable[Waveform], options: TranscriptionOptions) -> Transcription:
        """Return the transcription of a recording.

        waveform: blocks of mono float32 at SAMPLE_RATE, each shape = (n_samples,), taken as they are
        needed and in another thread; what iterating raises is raised here. When the call has ended, in
        whatever way, nothing takes blocks any more.
        Cancelling the call stops the work on it within one decoding step.
        Raises InvalidParameter for options that this model cannot follow, EngineError when the model
        fails, EngineUnavailable when there is none.
        """
        ...

    def health(self) -> Health:
        """Return whether transcriptions can be had now. Never blocks."""
        ...

    def close(self) -> None:
        """Stop all work and free the model. Calls under way raise EngineUnavailable."""
        ...
