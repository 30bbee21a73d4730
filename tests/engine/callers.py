"""Whoever submits sequences to an engine, and the steps that a test has it take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from collections.abc import Sequence as Many
from contextlib import contextmanager

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Detection, Request, Sequence, Status
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores
from tests.fake_model import NO_SPEECH_PROB, Method
from tests.fakes import DEADLINE_S

N_SLOTS = 4
METHODS: tuple[Method, ...] = ("encode", "prefill", "decode_step")


def make_attempt(*tokens: int, is_encoded: bool = False, max_new_tokens: int = 99) -> Attempt:
    return Attempt(
        window=None if is_encoded else tokens,
        prompt=DecoderPrompt(tokens=(1,)),
        rules=AttemptRules(max_new_tokens=max_new_tokens),
    )


class Caller:
    """Submits a sequence and records what its callbacks get.

    further: attempts to make after the first. attempt: the first, instead of what `tokens` and `rules` make.
    scores: of the parts of each window whose languages were asked for.
    """

    def __init__(
        self,
        *tokens: int,
        request: Request | None = None,
        attempt: Attempt | Detection | None = None,
        further: tuple[Attempt, ...] = (),
        n_slots: int = 1,
        **rules: int,
    ) -> None:
        self._further = list(further)
        self.results: list[tuple[int, ...]] = []
        self.scores: list[Many[LanguageScores]] = []
        self.ends: list[Status] = []
        self.has_ended = threading.Event()
        self.sequence = Sequence(
            request=request or Request(),
            attempt=attempt or make_attempt(*tokens, **rules),
            n_slots=n_slots,
            on_attempt=self._take,
            on_languages=self._take_languages,
            on_end=self._end,
        )

    def _take_languages(self, scores: Many[LanguageScores]) -> Attempt | None:
        assert not self.results, "the languages come before any attempt"
        self.scores.append(scores)
        return self._next()

    def _take(self, state: DecodingState) -> Attempt | None:
        assert state is self.sequence.state
        assert state.is_finished
        assert state.no_speech_prob == NO_SPEECH_PROB
        self.results.append(tuple(state.sampled))
        return self._next()

    def _next(self) -> Attempt | None:
        return self._further.pop(0) if self._further else None

    def _end(self, sequence: Sequence) -> None:
        assert sequence is self.sequence
        self.ends.append(sequence.status)
        self.has_ended.set()

    def wait(self) -> None:
        assert self.has_ended.wait(DEADLINE_S)


@contextmanager
def started(engine: Engine) -> Iterator[None]:
    engine.start()
    try:
        yield
    finally:
        engine.close()


def submit(engine: Engine, *callers: Caller) -> None:
    for caller in callers:
        engine.submit(caller.sequence)


def run(engine: Engine, *callers: Caller) -> None:
    """Take steps until all have ended."""
    for _ in range(1_000):
        if all(caller.ends for caller in callers):
            return
        engine.step()
    raise AssertionError("not all have ended")
