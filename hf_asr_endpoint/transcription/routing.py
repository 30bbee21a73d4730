"""Sends each request to a Transcriber that can do what it asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import DecodingOptions, Health, Segment, Transcription, TranscriptionOptions, Waveform


class RoutingTranscriber:
    """The engine for nearly everything; transformers' own `generate` for what the engine does not have yet.

    The latter is loaded when it is first asked for, since it takes memory and most servers never need it.
    """

    def __init__(self, engine: Transcriber, *, load_reference: Callable[[], Transcriber]) -> None:
        self._engine = engine
        self._load_reference = load_reference
        self._reference: Transcriber | None = None
        self._loading = asyncio.Lock()
        self._lock = threading.Lock()  # Loading ends in one thread, closing begins in another.
        self._is_closed = False

    async def stream(
        self, waveform: Iterable[Waveform], options: TranscriptionOptions
    ) -> AsyncGenerator[Segment | Transcription]:
        beyond = beyond_engine(options.decoding)
        if beyond is not None and options.word_timestamps:
            raise InvalidParameter(
                f"word timestamps are asked for, and not supported together with {beyond} yet; "
                "allowed: one of the two"
            )
        transcriber = self._engine if beyond is None else await self._loaded_reference()
        async with aclosing(transcriber.stream(waveform, options)) as events:
            async for event in events:
                yield event

    def health(self) -> Health:
        return self._engine.health()

    def close(self) -> None:
        self._engine.close()
        with self._lock:
            self._is_closed = True
            reference = self._reference
        if reference is not None:
            reference.close()

    async def _loaded_reference(self) -> Transcriber:
        async with self._loading:
            if self._reference is None:
                await asyncio.to_thread(self._load)
        assert self._reference is not None
        return self._reference

    def _load(self) -> None:
        """Load the reference; when the server is closed meanwhile, it is too."""
        reference = self._load_reference()
        with self._lock:
            self._reference = reference
            is_closed = self._is_closed
        if is_closed:
            reference.close()


def beyond_engine(options: DecodingOptions) -> str | None:
    """Return the name of an option that the engine does not have; None when it has them all.

    It decodes greedily, or samples without filters.
    """
    if options.num_beams > 1:
        return "num_beams"
    if not options.use_cache:
        return "use_cache"
    filters = ("top_k", "top_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
    return next((name for name in filters if getattr(options, name) is not None), None)
