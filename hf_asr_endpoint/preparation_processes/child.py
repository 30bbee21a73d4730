"""A process that prepares audio for an engine's process. It ends with that one, however that ends.

Run as a module, with the file descriptor of its end of the pipe.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from dataclasses import dataclass, replace

from hf_asr_endpoint.audio.blocks import ReceivedAudio, RemoteAudio
from hf_asr_endpoint.audio.source import WaveformReader, open_waveform
from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.errors import AsrError, EngineLost, InternalError
from hf_asr_endpoint.logs import configure_logging
from hf_asr_endpoint.preparation_processes.messages import (
    About,
    Cancel,
    EngineBusy,
    FromChild,
    Length,
    News,
    Prepare,
    Release,
    Setup,
    State,
    Stop,
    ToChild,
)
from hf_asr_endpoint.processes.blocks import Block, Fetches, Wanted
from hf_asr_endpoint.processes.channel import Channel
from hf_asr_endpoint.processes.program import connect_to_parent
from hf_asr_endpoint.transcription.preparation import ChunkSource, PreparationEnd, PreparationOrder, PreparedChunk
from hf_asr_endpoint.transcription.preparation_workers import PreparationWorkers
from hf_asr_endpoint.whisper.process import limit_malloc_arenas, switch_threads_often

logger = logging.getLogger(__name__)

N_WORKERS = 2
"""While one waits for a block of its recording, the other one works."""
REPORT_INTERVAL_S = 0.5
EXIT_FAILED = 4
"""The exit code when nothing can be sent."""
BUG = "the audio could not be prepared; the log has the details"


def main() -> None:
    # A terminal and systemd send their signals to all processes. The parent says when this one is to end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    limit_malloc_arenas()
    switch_threads_often()
    _Child(Channel(connect_to_parent(), name="send", on_failure=lambda: os._exit(EXIT_FAILED))).serve()
    os._exit(0)  # Whatever threads are doing, nobody waits for it.


@dataclass(slots=True)
class _Recording:
    """What is being prepared. source: None until it has begun."""

    token: CancellationToken
    source: ChunkSource | None = None


class _Child:
    def __init__(self, channel: Channel[ToChild, FromChild]) -> None:
        self._channel = channel
        self._fetches = Fetches(self._tell)
        self._workers: PreparationWorkers | None = None
        self._recordings: dict[int, _Recording] = {}
        self._is_engine_busy = False

    def serve(self) -> None:
        """Work until the parent says that this process is to end, or has gone."""
        threading.Thread(target=self._keep_reporting, name="report", daemon=True).start()
        for message in self._channel.receive():
            match message:
                case Setup():
                    self._set_up(message)
                case EngineBusy(is_busy=is_busy):
                    self._is_engine_busy = is_busy
                case Stop():
                    return
                case (number, about):
                    self._take(number, about)

    def _set_up(self, setup: Setup) -> None:
        configure_logging("info", setup.log_format)
        logging.getLogger().setLevel(setup.log_level)
        self._workers = PreparationWorkers(
            setup.make_spectrogram,
            is_engine_busy=(lambda: self._is_engine_busy) if setup.shares_cores else None,
            n_workers=N_WORKERS,
        )
        self._report()

    def _take(self, number: int, about: About) -> None:
        if isinstance(about, Prepare):
            self._begin(number, about)
        elif isinstance(about, Block):
            self._fetches.take(number, about)
        elif (recording := self._recordings.get(number)) is not None:  # Otherwise it has ended, which is told.
            if isinstance(about, Cancel):
                recording.token.cancel()
            elif recording.source is not None:
                recording.source.release() if isinstance(about, Release) else recording.source.allow_another()

    def _begin(self, number: int, wanted: Prepare) -> None:
        assert self._workers is not None
        recording = self._recordings[number] = _Recording(CancellationToken())
        received: ReceivedAudio | None = None

        def deliver(event: PreparedChunk | PreparationEnd) -> None:
            if isinstance(event, PreparationEnd):
                self._recordings.pop(number, None)
                event = replace(event, error=_error_of(received, event.error))
            self._tell(number, event)

        try:
            received, reader = self._open(number, wanted)
            recording.source = self._workers.submit(
                PreparationOrder(
                    reader=reader,
                    chunking=wanted.chunking,
                    max_ahead=wanted.max_ahead,
                    token=recording.token,
                    deliver=deliver,
                    ramps_up=wanted.ramps_up,
                    on_length=lambda seconds: self._tell(number, Length(seconds)),
                )
            )
        except Exception as exc:  # Other recordings go on.
            deliver(PreparationEnd(duration_s=0.0, error=exc))

    def _open(self, number: int, wanted: Prepare) -> tuple[ReceivedAudio | None, WaveformReader]:
        audio = wanted.audio
        if not isinstance(audio, RemoteAudio):
            return None, open_waveform(audio.source, max_audio_s=audio.max_audio_s, audio_track=audio.audio_track)

        def fetch(index: int) -> object:
            return wanted.first_block.get() if index == 0 else self._fetches.fetch(number, index)

        received = ReceivedAudio(audio, fetch)
        return received, received.reader

    def _tell(self, number: int, news: News | Wanted) -> None:
        self._channel.send((number, news))

    def _keep_reporting(self) -> None:
        """Report again and again: a process that is silent counts as one that hangs."""
        while True:
            self._report()
            time.sleep(REPORT_INTERVAL_S)

    def _report(self) -> None:
        workers = self._workers
        self._channel.send(
            State()
            if workers is None
            else State(is_ready=True, worked_s=workers.worked_s, prepared_audio_s=workers.prepared_audio_s)
        )


def _error_of(received: ReceivedAudio | None, error: Exception | None) -> AsrError | None:
    """Return why a recording has ended, for the parent. Where bytes are lost, the loss is the reason."""
    try:
        if received is not None:
            received.check()
    except EngineLost as lost:
        return lost
    if error is None or isinstance(error, AsrError):
        return error
    logger.error("a bug", exc_info=error)
    return InternalError(BUG)


if __name__ == "__main__":
    main()
