"""An honest in-memory SpeechModel."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from tests.fakes import DEADLINE_S

EOT = 50
LANGUAGE = 51
OTHER_LANGUAGE = 52
NO_SPEECH_PROB = 0.25
IMPOSSIBLE_LOGPROB = -30.0

Method = Literal["encode", "prefill", "decode_step", "align"]


def scores_for(
    language: int,
    *,
    languages: Iterable[int] = (LANGUAGE, OTHER_LANGUAGE),
    no_speech_prob: float = NO_SPEECH_PROB,
) -> LanguageScores:
    """Return scores that are certain of one language token."""
    logprobs = dict.fromkeys(languages, IMPOSSIBLE_LOGPROB) | {language: 0.0}
    return LanguageScores(logprobs=logprobs, no_speech_prob=no_speech_prob)


class FakeSpeechModel:
    """A SpeechModel whose windows hold the tokens that it will decode, as a tuple of ints.

    It appends them to a state one by one, and then EOT, each with the log-probability -1; every span is in
    LANGUAGE. A text aligned with a window gives the window and the text. Like a real one it goes by slots, and
    it refuses what the engine must never do: prefill without a window, feed a state twice, go on with one that has
    ended or whose slot has been aligned, align before the end, or mix up slots.
    calls: every call, with its slots in order. asked: the spans of each window that had any.
    Between `hold` and `release` the next call waits; `is_held` tells.
    """

    is_encoding = False

    def __init__(self, *, n_slots: int) -> None:
        self._windows: dict[int, tuple[int, ...]] = {}
        self._states: dict[int, DecodingState] = {}
        self._n_slots = n_slots
        self._failures: dict[Method, list[BaseException | None]] = {}
        self._released = threading.Event()
        self._released.set()
        self.is_held = threading.Event()
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.asked: list[tuple[PositionSpan, ...]] = []

    def fail(self, method: Method, error: BaseException, *, after: int = 0) -> None:
        """Make a method raise once, after `after` calls."""
        self._failures[method] = [*[None] * after, error]

    def hold(self) -> None:
        self.is_held.clear()
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    @property
    def slots(self) -> set[int]:
        """Which slots have a window."""
        return set(self._windows)

    def encode(
        self,
        windows: Mapping[int, tuple[int, ...]],
        *,
        spans: Mapping[int, Sequence[PositionSpan]] = MappingProxyType({}),
    ) -> dict[int, list[LanguageScores]]:
        self._enter("encode", windows)
        assert spans.keys() <= windows.keys()
        assert all(spans.values()), "no span to ask about"
        self.asked += [tuple(of_slot) for of_slot in spans.values()]
        for slot, window in windows.items():
            assert window is not None
            self._windows[slot] = window
            self._states.pop(slot, None)
        return {slot: [scores_for(LANGUAGE)] * len(of_slot) for slot, of_slot in spans.items()}

    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        self._enter("prefill", states)
        for slot, state in states.items():
            assert not state.sampled
            assert not state.is_finished
            assert self._states.get(slot) is not state, "fed twice"
            self._states[slot] = state
            state.no_speech_prob = NO_SPEECH_PROB
            self._append(slot)

    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        self._enter("decode_step", states)
        for slot, state in states.items():
            assert self._states[slot] is state, "another's state in this slot"
            assert not state.is_finished
            self._append(slot)

    def align(self, texts: Mapping[int, AlignmentInput]) -> dict[int, tuple[tuple[int, ...], AlignmentInput]]:
        self._enter("align", texts)
        for slot in texts:
            assert self._states.pop(slot).is_finished, "its decoding goes on"
        return {slot: (self._windows[slot], text) for slot, text in texts.items()}

    def free(self, slot: int) -> None:
        self.calls.append(("free", (slot,)))
        self._windows.pop(slot, None)
        self._states.pop(slot, None)

    def _append(self, slot: int) -> None:
        state, window = self._states[slot], self._windows[slot]
        n_sampled = len(state.sampled)
        state.append(window[n_sampled] if n_sampled < len(window) else EOT, -1.0, eot=EOT)

    def _enter(self, method: Method, slots: Mapping[int, object]) -> None:
        assert slots, f"{method} of nothing"
        assert all(0 <= slot < self._n_slots for slot in slots)
        self.calls.append((method, tuple(sorted(slots))))
        if not self._released.is_set():
            self.is_held.set()
            assert self._released.wait(DEADLINE_S)
        failures = self._failures.get(method)
        if failures and (error := failures.pop(0)) is not None:
            raise error
