"""A live session as a pure state machine: no threads, no clock, no model."""

from __future__ import annotations

from collections import deque

from hf_asr_endpoint.audio.speech_spans import SpeechDetector
from hf_asr_endpoint.transcription.live.audio import SessionAudio
from hf_asr_endpoint.transcription.live.confirmation import CERTAINTIES
from hf_asr_endpoint.transcription.live.cut import quiet_sample
from hf_asr_endpoint.transcription.live.endpoint import silence_needed_s
from hf_asr_endpoint.transcription.live.events import (
    Cleared,
    CommitRefused,
    Configured,
    IdleTimeout,
    LiveEvent,
    SpeechStarted,
    SpeechStopped,
)
from hf_asr_endpoint.transcription.live.jobs import FinalJob, FinalResult, Job, PartialJob, PartialResult
from hf_asr_endpoint.transcription.live.options import LiveOptions, ServerVad
from hf_asr_endpoint.transcription.live.pacing import Pacing
from hf_asr_endpoint.transcription.live.speech import to_seconds
from hf_asr_endpoint.transcription.live.turn import Piece, Turn
from hf_asr_endpoint.transcription.live.window import MAX_STUCK_S
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

MIN_COMMIT_S = 0.1  # OpenAI's

EARLY_SILENCE = round(0.2 * SAMPLE_RATE)  # after which the final pass begins
SHOWN_SILENCE = round(0.6 * SAMPLE_RATE)  # after which its words are shown, though the turn goes on
MAX_GAP = 3 * SAMPLE_RATE  # A longer silence ends a piece, as it ends a chunk of a recording.
MAX_PIECE = 28 * SAMPLE_RATE
PAD_BEFORE, PAD_AFTER = round(0.5 * SAMPLE_RATE), round(0.3 * SAMPLE_RATE)  # silence that is decoded with speech
KEPT_SILENCE = 2 * SAMPLE_RATE  # before speech, where no turn is open


class LiveSession:
    """Takes audio, commands and results. After each of them, `take_jobs` and `take_events` return what is due."""

    def __init__(self, detector: SpeechDetector, options: LiveOptions, *, detects_language: bool = True) -> None:
        """detects_language: whether the model has several languages, one of which is to be detected."""
        self.options = options
        self._audio = SessionAudio(detector.stream(), threshold=options.speech_threshold)
        self._speech = self._audio.speech
        self._turn: Turn | None = None  # the one that takes audio
        self._turns: deque[Turn] = deque()  # whose text is not complete, that one included
        self._last_ended: Turn | None = None
        self._n_turns = 0
        self._n_committed = 0  # samples
        self._was_idle = True  # The timeout is told once behind each turn.
        self._pacing = Pacing(knows_language=not detects_language)
        self._partial: PartialJob | None = None
        self._jobs: list[Job] = []
        self._events: list[LiveEvent] = []

    @property
    def waiting_s(self) -> float:
        """Seconds of complete pieces that are not decoded."""
        pieces = [piece for turn in self._turns for piece in turn.pieces]
        return sum(piece.end - piece.start for piece in pieces if piece.end and not piece.result) / SAMPLE_RATE

    @property
    def has_turns(self) -> bool:
        """Whether somebody waits for a text."""
        return bool(self._turns)

    def take_events(self) -> list[LiveEvent]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events

    def take_jobs(self, *, is_behind: bool = False) -> list[Job]:
        """Return the jobs to begin now. is_behind: more audio has arrived already, so nothing is shown early."""
        jobs, self._jobs = self._jobs, []
        if self._partial is None and not is_behind and (partial := self._next_partial()) is not None:
            self._partial = partial
            jobs.append(partial)
        return jobs

    def configure(self, options: LiveOptions, tag: str | None = None) -> None:
        """Change the options for the audio that follows."""
        self.options = options
        self._speech.set_threshold(options.speech_threshold)
        self._events.append(Configured(tag=tag))

    def push(self, samples: Waveform, *, is_behind: bool = False) -> None:
        """Take samples of any number. is_behind: as in `take_jobs`."""
        for _ in self._audio.push(samples):
            self._advance(is_behind=is_behind)
        self._drop_old()

    def commit(self, tag: str | None = None) -> None:
        """End the turn, or make one of the silence since the last."""
        buffered_s = (self._audio.end - self._n_committed) / SAMPLE_RATE
        if buffered_s < MIN_COMMIT_S:
            self._events.append(CommitRefused(buffered_s=buffered_s, tag=tag))
            return
        self._audio.flush()
        turn = self._turn or self._open(self._n_committed)
        self._end_turn(turn)

    def finish(self) -> None:
        """End the turn, or drop it if there is no speech in it: no more audio comes."""
        self._audio.flush()
        if (turn := self._turn) is not None:
            # The speech of pieces that have ended is forgotten after a silence.
            is_spoken = len(turn.pieces) > 1 or self._speech.spans(turn.start, self._audio.now)
            (self._end_turn if is_spoken else self._drop_turn)(turn)

    def clear(self) -> None:
        """Drop the audio that is not committed."""
        self._audio.flush()
        self._n_committed = self._audio.now
        if self._turn is not None:
            self._drop_turn(self._turn)
        self._events.append(Cleared())

    def take_partial(self, job: PartialJob, result: PartialResult) -> None:
        """Take the result of a job, unless it was dropped. An error is left to the final pass to meet."""
        if job is not self._partial or self._turn is None:
            return
        self._partial = None
        self._pacing.take(result)
        if result.error is not None:
            return
        certain = self._turn.window.take(
            result,
            end_s=job.end_s,
            speech_end_s=job.start_s + job.speech[-1].end_s,
            certainty=CERTAINTIES[self.options.delay],
        )
        self._turn.show(certain)
        self._tell()

    def take_final(self, job: FinalJob, result: FinalResult) -> None:
        """Take the result of a job, unless it was dropped."""
        for turn in self._turns:
            for piece in turn.pieces:
                if piece.job is job:
                    piece.job, piece.result = None, result
                    self._pacing.take_language(result.is_language_known)
        self._tell()

    def _advance(self, *, is_behind: bool) -> None:
        """Go on by a block."""
        if self._turn is None and self.options.turn_detection is None:
            self._open(self._n_committed)
        if self._turn is None:
            self._wait_for_speech()
        else:
            self._follow(self._turn, is_behind=is_behind)
        if (turn := self._turn) is None:
            self._audio.may_wait = self._was_idle or self.options.idle_timeout_s is None
        else:  # The silence that ends a turn is measured by the block.
            has_speech = self._speech.last_speech_end > turn.piece.start
            self._audio.may_wait = self.options.turn_detection is None and not has_speech

    def _wait_for_speech(self) -> None:
        span, detection = self._speech.open_span, self.options.turn_detection
        vad = detection if isinstance(detection, ServerVad) else ServerVad()
        if span is not None and span.end > self._n_committed:
            turn = self._open(max(span.start - round(vad.prefix_padding_s * SAMPLE_RATE), self._n_committed))
            self._events.append(SpeechStarted(turn=turn.number, at_s=turn.start / SAMPLE_RATE))
            return
        end_s, limit_s = self._audio.now / SAMPLE_RATE, self.options.idle_timeout_s
        start_s = self._n_committed / SAMPLE_RATE
        if limit_s is not None and not self._was_idle and end_s - start_s >= limit_s:
            turn = self._open(self._n_committed)
            self._events.append(IdleTimeout(turn=turn.number, start_s=start_s, end_s=end_s))
            self._end_turn(turn)
            self._was_idle = True

    def _follow(self, turn: Turn, *, is_behind: bool) -> None:
        """Go on with a turn: decode its end early, cut it where it is long, end it after a silence."""
        now, speech_end = self._audio.now, self._speech.last_speech_end
        piece = turn.piece
        if (piece.job or piece.result) and speech_end > piece.speech_end:
            piece.drop()
        silence = now - max(speech_end, turn.start)
        has_speech = speech_end > piece.start
        if not has_speech:
            piece.start = max(piece.start, now - KEPT_SILENCE)
            turn.window.restart(piece.start / SAMPLE_RATE)
        elif silence >= EARLY_SILENCE and not (piece.job or piece.result or is_behind) and self._is_first(turn):
            self._decode(turn, piece, end=now)
        if silence >= SHOWN_SILENCE and piece.result is not None and piece.result.error is None:
            turn.show_decoded()
            turn.window.restart(now / SAMPLE_RATE)
            self._tell()
        if silence >= silence_needed_s(self.options.turn_detection, turn.text) * SAMPLE_RATE:
            self._events.append(SpeechStopped(turn=turn.number, at_s=now / SAMPLE_RATE))
            self._end_turn(turn)
        elif has_speech and (silence > MAX_GAP or now - piece.start > MAX_PIECE):
            self._cut(turn)

    def _cut(self, turn: Turn) -> None:
        """End a piece in the longest pause of its second half, or where it is quietest."""
        now, start = self._audio.now, turn.piece.start
        earliest = start + (now - start) // 2
        spans = self._speech.spans(earliest, now)
        sample = quiet_sample(spans, self._audio.read(earliest, now), start=earliest)
        piece = turn.cut(sample)
        if not (piece.job or piece.result) or piece.speech_end > sample:
            piece.drop()
            self._decode(turn, piece, end=sample, is_urgent=False)
        if now / SAMPLE_RATE - turn.window.start_s > MAX_STUCK_S:
            turn.window.restart(sample / SAMPLE_RATE)

    def _decode(self, turn: Turn, piece: Piece, *, end: int, is_urgent: bool = True) -> None:
        """Begin to decode a piece up to a sample. What has no speech has no text."""
        spans = self._speech.spans(piece.start, end)
        piece.speech_end = spans[-1].end if spans else end
        if not spans:
            piece.result = FinalResult()
            return
        start = max(piece.start, spans[0].start - PAD_BEFORE)
        piece.job = FinalJob(
            waveform=self._audio.read(start, min(end, piece.speech_end + PAD_AFTER)),
            start_s=start / SAMPLE_RATE,
            speech=to_seconds(spans, origin=start),
            options=self.options,
            draft=turn.draft(piece),
            before=turn.before(piece, self._last_ended),
            is_urgent=is_urgent,
        )
        self._jobs.append(piece.job)

    def _next_partial(self) -> PartialJob | None:
        turn, now = self._turn, self._audio.now
        if turn is None or not self._is_first(turn) or now - self._speech.last_speech_end >= EARLY_SILENCE:
            return None
        turn.window.trim(now / SAMPLE_RATE)
        start = round(turn.window.start_s * SAMPLE_RATE)
        spans = self._speech.spans(start, now)
        speech = sum(span.end - span.start for span in spans)
        if not spans or not self._pacing.is_due(now=now, speech_s=speech / SAMPLE_RATE, options=self.options):
            return None
        if not turn.window.confirmed and spans[0].start - PAD_BEFORE > start:
            start = spans[0].start - PAD_BEFORE
            turn.window.restart(start / SAMPLE_RATE)
        return PartialJob(
            waveform=self._audio.read(start, now),
            start_s=start / SAMPLE_RATE,
            speech=to_seconds(spans, origin=start),
            options=self.options,
            confirmed=tuple(turn.window.confirmed),
            draft=turn.window.draft,
        )

    def _is_first(self, turn: Turn) -> bool:
        """Return whether no other turn waits for its text. Nothing of a later one could be shown before that, and
        an engine that is behind has enough to do."""
        return turn is self._turns[0]

    def _open(self, start: int) -> Turn:
        self._n_turns += 1
        self._turn = Turn(self._n_turns, start=start)
        self._turns.append(self._turn)
        self._was_idle = False
        return self._turn

    def _end_turn(self, turn: Turn) -> None:
        piece = turn.piece
        if not (piece.job or piece.result):
            self._decode(turn, piece, end=self._audio.now)
        self._events.append(turn.commit(self._audio.now))
        self._n_committed, self._last_ended = self._audio.now, turn
        self._close_turn()
        self._tell()

    def _drop_turn(self, turn: Turn) -> None:
        turn.drop()
        self._turns.remove(turn)
        self._close_turn()

    def _close_turn(self) -> None:
        self._turn = None
        if self._partial is not None:
            self._partial.token.cancel()
            self._partial = None

    def _tell(self) -> None:
        """Tell of the first turn, and of the next ones as far as all before them are complete."""
        while self._turns:
            self._events.extend(self._turns[0].tell())
            if not self._turns[0].is_decoded:
                return
            self._turns.popleft()

    def _drop_old(self) -> None:
        """Drop the audio that nobody needs."""
        needed = self._audio.now - KEPT_SILENCE
        if self._turn is not None:
            needed = min(self._turn.piece.start, round(self._turn.window.start_s * SAMPLE_RATE))
        self._audio.drop_before(needed)
        self._speech.drop_before(needed)
