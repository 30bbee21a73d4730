"""The seam between whoever asks for transcriptions and the engine that makes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Protocol

from hf_asr_endpoint.errors import EngineError
from hf_asr_endpoint.types import Health, Segment, Transcription, TranscriptionOptions, Waveform


class Transcriber(Protocol):
    """Makes transcriptions, many at a time as far as its callers are concerned."""

    def stream(
        self, waveform: Iterable[Waveform], options: TranscriptionOptions
    ) -> AsyncGenerator[Segment | Transcription]:
        """Yield a recording's segments in order, each as soon as it is certain, and last the transcription.

        waveform: blocks of mono float32 at SAMPLE_RATE, each shape = (n_samples,), taken as they are
        needed and in another thread; what iterating raises is raised here. When the generator has ended,
        or is closed, nothing takes blocks any more. Closing it, or cancelling whoever waits for it, stops the
        work within one decoding step.
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


async def transcribe(
    transcriber: Transcriber, waveform: Iterable[Waveform], options: TranscriptionOptions
) -> Transcription:
    """Return the transcription of a recording, once it is whole. Raises what `Transcriber.stream` does."""
    async with aclosing(transcriber.stream(waveform, options)) as events:
        async for event in events:
            if isinstance(event, Transcription):
                return event
    raise EngineError("the transcription ended without a result")
