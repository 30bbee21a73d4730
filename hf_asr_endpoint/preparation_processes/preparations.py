"""`Preparations` over several processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from pickle import PickleBuffer

from hf_asr_endpoint.audio.blocks import BlockReader
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.logs import LogFormat
from hf_asr_endpoint.preparation_processes.messages import (
    About,
    AllowAnother,
    Cancel,
    Length,
    News,
    Prepare,
    Release,
    Setup,
)
from hf_asr_endpoint.preparation_processes.process import PreparationProcess
from hf_asr_endpoint.processes.blocks import Block
from hf_asr_endpoint.transcription.preparation import ChunkSource, PreparationEnd, PreparationOrder, PreparedChunk
from hf_asr_endpoint.transcription.spectrogram import SpectrogramMaker


class PreparationProcesses:
    """See `Preparations`. A recording goes to the process that has the fewest, and stays there."""

    def __init__(self, n_processes: int, *, log_format: LogFormat = "text") -> None:
        """Begin to start the processes: they import their libraries while a model is loaded."""
        self._log_format: LogFormat = log_format
        self._processes = [PreparationProcess(f"preparation {index}") for index in range(n_processes)]

    def begin(
        self, make_spectrogram: SpectrogramMaker, *, is_engine_busy: Callable[[], bool] | None
    ) -> PreparationProcesses:
        """Have them prepare for an engine, as `BeginPreparations`, and return this. Raises ModelUnavailable."""
        setup = Setup(
            make_spectrogram=make_spectrogram,
            shares_cores=is_engine_busy is not None,
            log_level=logging.getLogger().level,
            log_format=self._log_format,
        )
        for process in self._processes:
            process.set_up(setup, is_engine_busy=is_engine_busy or (lambda: False))
        for process in self._processes:
            process.ready.result()
        return self

    @property
    def worked_s(self) -> float:
        return sum(process.worked_s for process in self._processes)

    @property
    def prepared_audio_s(self) -> float:
        return sum(process.prepared_audio_s for process in self._processes)

    @property
    def failure(self) -> str:
        failures = [process.failure for process in self._processes]
        return "; ".join(failures) if all(failures) else ""

    def submit(self, order: PreparationOrder) -> ChunkSource:
        recording = _Recording(order)
        recording.begin(min(self._processes, key=lambda process: (not process.is_ready, process.n_recordings)))
        return recording

    def close(self) -> None:
        for process in self._processes:
            process.begin_to_close()
        for process in self._processes:
            process.close()


class _Recording:
    """The `Work` of a process, and the `ChunkSource` of a request."""

    def __init__(self, order: PreparationOrder) -> None:
        self._order = order
        self._lock = threading.Lock()  # held while chunks are delivered: none may follow the end
        self._has_ended = False
        self._blocks: BlockReader | None = None
        self._tell: Callable[[Callable[[], About]], None] = lambda make: None

    def begin(self, process: PreparationProcess) -> None:
        """Have a process prepare this. Blocks on the file for a moment."""
        try:
            if isinstance(self._order.reader.order.source, EncodedAudio):
                self._blocks = BlockReader(self._order.reader.order)
            self._tell = partial(process.tell, process.add(self))
        except Exception as exc:  # Such as that of a file which was closed: the request has ended.
            self._end(PreparationEnd(duration_s=0.0, error=exc))
            return
        self._tell(self._make_prepare)
        self._order.token.add_callback(lambda: self._tell(Cancel))

    def release(self) -> None:
        self._tell(Release)

    def allow_another(self) -> None:
        self._tell(AllowAnother)

    def take(self, news: News, /) -> None:
        match news:
            case Length(seconds=seconds):
                self._take_length(seconds)
            case PreparedChunk():
                with self._lock:
                    if not self._has_ended:
                        self._order.deliver(news)
            case PreparationEnd():
                self._end(news)

    def read(self, index: int, /) -> Block:
        if self._blocks is None:
            return Block(None, "samples have no blocks")
        try:
            return Block(PickleBuffer(self._blocks.read(index)))
        except (OSError, ValueError) as exc:
            return Block(None, f"it cannot be read ({exc})")

    def _make_prepare(self) -> Prepare:
        order = self._order
        return Prepare(
            audio=order.reader.order if self._blocks is None else self._blocks.audio,
            first_block=self.read(0),
            chunking=order.chunking,
            max_ahead=order.max_ahead,
            ramps_up=order.ramps_up,
        )

    def _take_length(self, seconds: float) -> None:
        try:
            self._order.on_length(seconds)
        except Exception as exc:  # It ends the request, as that of a queue which is full.
            self._end(PreparationEnd(duration_s=0.0, error=exc))
            self._tell(Cancel)

    def _end(self, end: PreparationEnd) -> None:
        with self._lock:
            if self._has_ended:
                return
            self._has_ended = True
            self._order.reader.close()
            self._order.deliver(end)
