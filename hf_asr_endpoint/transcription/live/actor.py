"""A session's messages, taken one at a time by whichever worker has its turn. Any thread may post.

Results go before audio: they may end a turn that somebody waits for. Audio that the engine cannot keep up with
stays in the inbox, and the caller is told how much there is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hf_asr_endpoint.audio.sample_stream import SampleStream
from hf_asr_endpoint.transcription.live.events import LiveEvent
from hf_asr_endpoint.transcription.live.jobs import FinalJob, FinalResult, Job, PartialJob, PartialResult
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.session import LiveSession

logger = logging.getLogger(__name__)

TURN_S = 0.02
MIN_PUSHED_S = 0.096  # of audio: less completes no block of `SessionAudio`, and waits for more, or a command
BEHIND_S = 1.0  # of audio that waits: then the session is not live, and shows nothing early
MAX_WAITING_S = 30.0  # of complete pieces that wait for the engine: then no more audio is taken
MAX_PUSHED_S = 0.5  # of audio at once, so that turns are short

Work = Callable[[], None]


class Decoder(Protocol):
    """Begins a job. `post` runs work in the session's turn, where `deliver` takes the result, once."""

    def begin(
        self,
        job: Job,
        *,
        post: Callable[[Work], None],
        deliver: Callable[[PartialResult | FinalResult], None],
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Audio:
    data: bytes | memoryview


class SessionActor:
    """One session, its inbox and its decoder.

    on_events: takes the events of each step, which may be none; on_end: the error that ended the session, if any.
    Both are called in a worker's thread.
    """

    def __init__(
        self,
        session: LiveSession,
        decoder: Decoder,
        *,
        enqueue: Callable[[SessionActor], None],
        on_events: Callable[[Sequence[LiveEvent]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self._session = session
        self._decoder = decoder
        self._enqueue = enqueue
        self._on_events = on_events
        self._on_end = on_end
        self._samples = SampleStream(session.options.audio)
        self._lock = threading.Lock()
        self._results: deque[Work] = deque()
        self._commands: deque[_Audio | Work] = deque()
        self._waiting_bytes = 0
        self._n_waiting_commands = 0  # that are no audio
        self._waiting_pieces_s = 0.0  # of the session, after its last step: other threads cannot ask it during one
        self._jobs: set[Job] = set()  # that have been begun and have no result
        self._is_queued = False
        self._is_closed = False
        self._is_finishing = False

    def push(self, data: bytes) -> None:
        self._post_command(_Audio(data))

    def commit(self, tag: str | None) -> None:
        def run() -> None:
            self._flush()
            self._session.commit(tag)

        self._post_command(run)

    def clear(self) -> None:
        def run() -> None:
            self._flush()
            self._session.clear()

        self._post_command(run)

    def configure(self, options: LiveOptions, tag: str | None) -> None:
        def run() -> None:
            if options.audio != self._session.options.audio:
                self._flush()
                self._samples = SampleStream(options.audio)
            self._session.configure(options, tag)

        self._post_command(run)

    def finish(self) -> None:
        """End the turn, and then the session, once all its turns have their text. Audio behind it is dropped."""

        def run() -> None:
            self._flush()
            self._session.finish()
            self._is_finishing = True

        self._post_command(run)

    def close(self, error: Exception | None = None) -> None:
        """Cancel the session's jobs, and end it."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._commands.clear()
            self._results.clear()
            self._waiting_bytes = self._n_waiting_commands = 0
            jobs, self._jobs = self._jobs, set()
        for job in jobs:
            job.token.cancel()
        self._on_end(error)

    def post(self, work: Work) -> None:
        """Have work done in the session's next turn."""
        with self._lock:
            if self._is_closed:
                return
            self._results.append(work)
        self._wake()

    def take_turn(self) -> None:
        """Work for some milliseconds, then queue again or wait for messages."""
        ends_at = time.perf_counter() + TURN_S
        try:
            while (message := self._next()) is not None:
                self._do(message)
                if time.perf_counter() > ends_at:
                    break
        except Exception as exc:  # A bug of one session must not end the others.
            logger.exception("a live session failed")
            self.close(exc)
            return
        if self._is_finishing and not self._session.has_turns:
            self.close()
            return
        with self._lock:
            self._is_queued = self._is_ready()
            is_queued = self._is_queued
        if is_queued:
            self._enqueue(self)

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that nobody has decoded, though it is complete."""
        return self._waiting_bytes / self._samples.bytes_per_s + self._waiting_pieces_s

    def _do(self, message: _Audio | Work) -> None:
        if isinstance(message, _Audio):
            if self._is_finishing:  # It would open a turn that nobody ends.
                return
            self._session.push(self._samples.push(bytes(message.data)), is_behind=self._is_behind())
        else:
            message()
        for job in self._session.take_jobs(is_behind=self._is_behind()):
            self._begin(job)
        self._waiting_pieces_s = self._session.waiting_s
        self._on_events(self._session.take_events())

    def _begin(self, job: Job) -> None:
        def deliver(result: PartialResult | FinalResult) -> None:
            with self._lock:
                self._jobs.discard(job)
            if isinstance(job, PartialJob) and isinstance(result, PartialResult):
                self._session.take_partial(job, result)
            elif isinstance(job, FinalJob) and isinstance(result, FinalResult):
                self._session.take_final(job, result)

        with self._lock:
            if self._is_closed:
                return
            # Those that the session has dropped have no result.
            self._jobs = {begun for begun in self._jobs if not begun.token.is_cancelled} | {job}
        self._decoder.begin(job, post=self.post, deliver=deliver)

    def _flush(self) -> None:
        self._session.push(self._samples.finish())

    def _is_behind(self) -> bool:
        return self._waiting_bytes > BEHIND_S * self._samples.bytes_per_s

    def _post_command(self, command: _Audio | Work) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._commands.append(command)
            if isinstance(command, _Audio):
                self._waiting_bytes += len(command.data)
            else:
                self._n_waiting_commands += 1
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if self._is_closed or self._is_queued or not self._is_ready():
                return
            self._is_queued = True
        self._enqueue(self)

    def _next(self) -> _Audio | Work | None:
        """Return the next message, or the next piece of one."""
        with self._lock:
            if self._results:
                return self._results.popleft()
            if not self._is_ready():
                return None
            if isinstance(self._commands[0], _Audio):
                return self._next_audio()
            self._n_waiting_commands -= 1
            return self._commands.popleft()

    def _next_audio(self) -> _Audio:
        """Return the audio before the next command, as far as it may be taken at once. Under the lock."""
        n_left = round(MAX_PUSHED_S * self._samples.bytes_per_s)
        parts: list[bytes | memoryview] = []
        while n_left and self._commands and isinstance(first := self._commands[0], _Audio):
            parts.append(first.data[:n_left])
            n_left -= len(parts[-1])
            self._commands.popleft()
            if len(parts[-1]) < len(first.data):
                rest = memoryview(first.data)[len(parts[-1]) :]  # No copy: it may be long, and be cut often.
                self._commands.appendleft(_Audio(rest))
        data = b"".join(parts)
        self._waiting_bytes -= len(data)
        return _Audio(data)

    def _is_ready(self) -> bool:
        """Whether a message may be taken now. Under the lock."""
        if self._results:
            return True
        has_block = self._waiting_bytes >= MIN_PUSHED_S * self._samples.bytes_per_s
        return (has_block or self._n_waiting_commands > 0) and self._waiting_pieces_s <= MAX_WAITING_S
