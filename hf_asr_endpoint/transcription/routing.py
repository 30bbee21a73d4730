"""Sends each request to a Transcriber that can do what it asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import DecodingOptions, Health, Transcription, TranscriptionOptions, Waveform


class RoutingTranscriber:
    """The engine for nearly everything; transformers' own `generate` for what the engine does not have yet.

    The latter is loaded when it is first asked for, since it takes memory and most servers never need it.
    """

    def __init__(self, engine: Transcriber, *, load_reference: Callable[[], Transcriber]) -> None:
        self._engine = engine
        self._load_reference = load_reference
        self._reference: Transcriber | None = None
        self._loading = asyncio.Lock()

    async def transcribe(self, waveform: Iterable[Waveform], options: TranscriptionOptions) -> Transcription:
        if engine_can(options.decoding):
            return await self._engine.transcribe(waveform, options)
        async with self._loading:
            if self._reference is None:
                self._reference = await asyncio.to_thread(self._load_reference)
        return await self._reference.transcribe(waveform, options)

    def health(self) -> Health:
        return self._engine.health()

    def close(self) -> None:
        self._engine.close()
        if self._reference is not None:
            self._reference.close()


def engine_can(options: DecodingOptions) -> bool:
    """Return whether the engine decodes so: greedily or by sampling without filters."""
    filters = (options.top_k, options.top_p, options.typical_p, options.epsilon_cutoff, options.eta_cutoff)
    return options.num_beams == 1 and options.use_cache and all(value is None for value in filters)
