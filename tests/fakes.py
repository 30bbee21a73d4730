"""Honest in-memory implementations of the seams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.live.events import LiveWord
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.session import LiveSession
from hf_asr_endpoint.transcription.live.stream import LiveStream, open_session
from hf_asr_endpoint.transcription.live.workers import LiveWorkers
from hf_asr_endpoint.transcription.stream import TranscriptionStream, last_of
from hf_asr_endpoint.types import (
    ANYBODY,
    Activity,
    Caller,
    DecodedWindow,
    Health,
    ModelInfo,
    Progress,
    Segment,
    Transcription,
    TranscriptionOptions,
    Word,
)
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.transcription.live.simulation import LoudnessDetector, ScriptedDecoder

POLL_INTERVAL_S = 0.002
DEADLINE_S = 30.0


def make_segment(
    text: str,
    *,
    start: float = 0.0,
    end: float,
    words: Sequence[Word] = (),
    tokens: Sequence[int] = (),
    language: str | None = None,
) -> Segment:
    """Return a segment of a window about which nothing is remarkable."""
    window = DecodedWindow(
        start=start, temperature=0.0, avg_logprob=-0.25, compression_ratio=1.25, no_speech_prob=0.125
    )
    return Segment(
        start=start,
        end=end,
        text=text,
        tokens=tuple(tokens),
        window=window,
        words=tuple(words),
        language=language,
    )


class FakeClock:
    """Tells the seconds that a test sets, as `time.monotonic` tells its own."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class FakeTranscriber:
    """A Transcriber that counts samples: its text is, for example, " 16000 samples".

    It remembers the options and the callers it was given, and tells its progress after each segment. Between
    `hold` and `release` its work does not end. failure: raised instead of yielding anything. segments: its
    segments instead. late_failure: raised behind them, instead of the transcription.
    """

    def __init__(
        self,
        *,
        health: Health | None = None,
        failure: Exception | None = None,
        segments: Sequence[Segment] = (),
        late_failure: Exception | None = None,
    ) -> None:
        self._health = health or Health(
            state="ready", model=ModelInfo(device="cpu", dtype="float32", is_multilingual=True, n_mels=80)
        )
        self._failure = failure
        self._segments = segments
        self._late_failure = late_failure
        self._n_passing = 0
        self._released = threading.Event()
        self._released.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.options: list[TranscriptionOptions] = []
        self.callers: list[Caller] = []
        self.live_words: Sequence[LiveWord] = ()
        self.live_decoder = ScriptedDecoder()
        self.live_options: list[LiveOptions] = []
        self.live_streams: list[LiveStream] = []
        self._live_workers = LiveWorkers(n_workers=1)
        self.n_running = 0
        self.n_cancelled = 0
        self.n_finished = 0
        self.is_closed = False
        self.wait_s = self.turn_wait_s = 0.0

    def hold(self, *, after: int = 0) -> None:
        """after: how many segments are yielded before."""
        self._n_passing = after
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        return await last_of(await self.stream(reader, options, caller))

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        self.callers.append(caller)
        token = CancellationToken()
        stream = TranscriptionStream(token)
        working = asyncio.create_task(self._work(reader, options, caller, stream))
        self._tasks.add(working)
        working.add_done_callback(self._tasks.discard)
        token.add_callback(working.cancel)
        return stream

    async def _work(
        self,
        reader: WaveformReader,
        options: TranscriptionOptions,
        caller: Caller,
        stream: TranscriptionStream,
    ) -> None:
        self.options.append(options)
        try:
            stream.put(await self._transcribe(reader, options, caller, stream))
            stream.finish()
        except Exception as exc:
            stream.finish(exc)
        finally:
            reader.close()

    async def _transcribe(
        self,
        reader: WaveformReader,
        options: TranscriptionOptions,
        caller: Caller,
        stream: TranscriptionStream,
    ) -> Transcription:
        n_samples = await asyncio.to_thread(lambda: sum(len(block) for block in reader))
        duration_s = n_samples / SAMPLE_RATE
        segments = self._segments or (make_segment(f" {n_samples} samples", end=duration_s),)
        self.n_running += 1
        try:
            for index, segment in enumerate(segments):
                await self._pass(index)
                if self._failure:
                    raise self._failure
                stream.put(segment)
                progress = Progress(done_s=segment.end, length_s=duration_s)
                caller.on_progress(progress)
                stream.put(progress)
            await self._pass(len(segments))
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        finally:
            self.n_running -= 1
        if self._late_failure:
            raise self._late_failure
        self.n_finished += 1
        return Transcription(
            task=options.task, language=options.language or "en", duration_s=duration_s, segments=tuple(segments)
        )

    async def _pass(self, n_yielded: int) -> None:
        while n_yielded >= self._n_passing and not self._released.is_set():
            await asyncio.sleep(POLL_INTERVAL_S)

    async def live(self, options: LiveOptions, caller: Caller = ANYBODY) -> LiveStream:
        """Open a real session over a scripted decoder, which hears `live_words`."""
        if self._failure:
            raise self._failure
        self.callers.append(caller)
        self.live_decoder.words = self.live_words
        self._live_workers.start()
        session = LiveSession(LoudnessDetector(), options, detects_language=False)
        stream = open_session(session, self.live_decoder, enqueue=self._live_workers.enqueue)
        self.live_options.append(options)
        self.live_streams.append(stream)
        return stream

    def health(self, model: str | None = None) -> Health:
        return self._health

    def activity(self, model: str | None = None) -> Activity:
        windows = {"finished": self.n_finished, "cancelled": self.n_cancelled, "failed": 0}
        return Activity(
            slots=1, slots_in_use=self.n_running, wait_s=self.wait_s, turn_wait_s=self.turn_wait_s, windows=windows
        )

    def close(self) -> None:
        self.is_closed = True
        for stream in self.live_streams:
            stream.close(EngineUnavailable("the server is shutting down"))
        self._live_workers.close()
