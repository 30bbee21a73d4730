"""A session in simulated time: its audio is loud where somebody speaks, and a script says which words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES, Probabilities
from hf_asr_endpoint.transcription.live.actor import Work
from hf_asr_endpoint.transcription.live.events import Delta, LiveEvent, LiveWord
from hf_asr_endpoint.transcription.live.jobs import FinalJob, FinalResult, Job, PartialJob, PartialResult
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.session import LiveSession
from hf_asr_endpoint.types import Waveform, Word
from hf_asr_endpoint.units import SAMPLE_RATE

LOUD = 0.5
PUSHED_S = 0.05


class LoudnessDetector:
    """A SpeechDetector: what is loud is speech."""

    def stream(self) -> LoudnessStream:
        return LoudnessStream()


class LoudnessStream:
    def __init__(self) -> None:
        self._left = np.zeros(0, np.float32)

    def push(self, block: Waveform) -> Probabilities:
        samples = np.concatenate([self._left, block])
        n_steps = len(samples) // N_STEP_SAMPLES
        self._left = samples[n_steps * N_STEP_SAMPLES :]
        steps = samples[: n_steps * N_STEP_SAMPLES].reshape(n_steps, N_STEP_SAMPLES)
        return np.where(np.abs(steps).mean(axis=1) > LOUD / 4, 0.95, 0.05).astype(np.float32)

    def finish(self) -> Probabilities:
        return np.zeros(0, np.float32)


def loud(seconds: float) -> Waveform:
    return np.full(round(seconds * SAMPLE_RATE), LOUD, np.float32)


def silent(seconds: float) -> Waveform:
    return np.full(round(seconds * SAMPLE_RATE), 0.001, np.float32)


def word(text: str, start: float, end: float, *, probability: float = 0.3) -> LiveWord:
    """Return a word that only agreement confirms, unless its probability is high."""
    return LiveWord(word=Word(word=f" {text}", start=start, end=end, probability=probability), tokens=(len(text),))


def script(n: int, *, start: float = 0.0, every: float = 0.5) -> list[LiveWord]:
    """Return numbered words, one after the other."""
    return [word(f"w{i}", start + i * every, start + (i + 0.9) * every) for i in range(n)]


@dataclass(slots=True)
class Simulation:
    """Pushes audio, and decodes each job when it is asked to.

    words: what is said. delay_s: of audio, from a job to its result.
    """

    session: LiveSession
    words: Sequence[LiveWord] = ()
    delay_s: float = 0.2
    failure: Exception | None = None
    events: list[tuple[float, LiveEvent]] = field(default_factory=list)
    jobs: list[tuple[float, Job]] = field(default_factory=list)
    _due: list[tuple[float, Job]] = field(default_factory=list)
    now_s: float = 0.0

    def push(self, samples: Waveform, *, is_behind: bool = False) -> None:
        n = round(PUSHED_S * SAMPLE_RATE)
        for begin in range(0, len(samples), n):
            part = samples[begin : begin + n]
            self.now_s += len(part) / SAMPLE_RATE
            self.session.push(part, is_behind=is_behind)
            self._work(is_behind=is_behind)

    def command(self, run: Callable[[], None]) -> None:
        run()
        self._work()

    def settle(self) -> None:
        """Have everything decoded."""
        while self._due:
            self.now_s = max(self.now_s, self._due[0][0])
            self._work()

    def of(self, *kinds: type) -> list[LiveEvent]:
        return [event for _, event in self.events if isinstance(event, kinds)]

    def at(self, kind: type) -> float:
        """Return when the first such event came, in seconds of audio."""
        return next(at_s for at_s, event in self.events if isinstance(event, kind))

    def shown(self, turn: int) -> str:
        deltas = [event for event in self.of(Delta) if isinstance(event, Delta) and event.turn == turn]
        return "".join(one.text for delta in deltas for one in delta.words)

    def jobs_of(self, kind: type[Job]) -> Iterator[Job]:
        return (job for _, job in self.jobs if isinstance(job, kind))

    def _work(self, *, is_behind: bool = False) -> None:
        self._take(is_behind=is_behind)
        while self._due and self._due[0][0] <= self.now_s + 1e-9:
            _, job = self._due.pop(0)
            if not job.token.is_cancelled:
                self._deliver(job)
                self._take(is_behind=is_behind)

    def _take(self, *, is_behind: bool) -> None:
        for job in self.session.take_jobs(is_behind=is_behind):
            self.jobs.append((self.now_s, job))
            self._due.append((self.now_s + self.delay_s, job))
        self.events += [(self.now_s, event) for event in self.session.take_events()]

    def _deliver(self, job: Job) -> None:
        result = decode(job, self.words, failure=self.failure, took_s=self.delay_s)
        if isinstance(job, PartialJob) and isinstance(result, PartialResult):
            self.session.take_partial(job, result)
        elif isinstance(job, FinalJob) and isinstance(result, FinalResult):
            self.session.take_final(job, result)


def decode(
    job: Job, words: Sequence[LiveWord], *, failure: Exception | None = None, took_s: float = 0.0
) -> PartialResult | FinalResult:
    """Return the words whose middle is in the job's audio, behind those that it holds for certain."""
    begin_s = job.start_s
    if isinstance(job, PartialJob) and job.confirmed:
        begin_s = job.confirmed[-1].word.end
    heard = [one for one in words if begin_s <= (one.word.start + one.word.end) / 2 < job.end_s]
    if isinstance(job, PartialJob):
        return PartialResult(words=heard, took_s=took_s, error=failure)
    text = "".join(one.text for one in heard)
    return FinalResult(text="" if failure else text, words=() if failure else heard, language="en", error=failure)


class ScriptedDecoder:
    """A `Decoder` that has each result at once. Between `hold` and `release` it has none."""

    def __init__(self, words: Sequence[LiveWord] = (), *, failure: Exception | None = None) -> None:
        self.words = words
        self.failure = failure
        self.jobs: list[Job] = []
        self._held: list[Work] | None = None

    def begin(
        self,
        job: Job,
        *,
        post: Callable[[Work], None],
        deliver: Callable[[PartialResult | FinalResult], None],
    ) -> None:
        self.jobs.append(job)

        def finish() -> None:
            post(lambda: deliver(decode(job, self.words, failure=self.failure)))

        if self._held is None:
            finish()
        else:
            self._held.append(finish)

    def hold(self) -> None:
        self._held = []

    def release(self) -> None:
        held, self._held = self._held or [], None
        for finish in held:
            finish()


def simulate(options: LiveOptions, words: Sequence[LiveWord] = (), *, delay_s: float = 0.2) -> Simulation:
    return Simulation(LiveSession(LoudnessDetector(), options, detects_language=False), words, delay_s=delay_s)
