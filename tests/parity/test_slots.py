"""The result of a slot does not depend on its index, its earlier contents or the other slots."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt, DecodingState
from tests.parity.conftest import Pair
from tests.parity.decoding import N_SLOTS, decode, greedy
from tests.parity.oracle import TIE
from tests.parity.recordings import cut_window

pytestmark = pytest.mark.parity

Work = tuple[Tensor, DecoderPrompt]

MAX_NEW_TOKENS = 16  # A window that ends within a word may repeat the word until the limit.


@pytest.fixture(scope="module")
def work(tiny_en: Pair, speech: Waveform) -> list[Work]:
    """Return sixteen windows from 6 to 21 seconds, with prompts of five lengths."""
    text = tuple(range(300, 420))
    twice = np.concatenate([speech, speech])
    windows = [cut_window(twice[: (n + 2) * SAMPLE_RATE]) for n in range(N_SLOTS)]
    lengths = [0, 3, 40, 120, 7]
    return [
        (window, tiny_en.prompt("en", previous=text[: lengths[n % len(lengths)]]))
        for n, window in enumerate(windows)
    ]


@pytest.fixture(scope="module")
def alone(tiny_en: Pair, work: list[Work]) -> list[DecodingState]:
    """Return the result of each window alone in the first slot."""
    return [decode_in(tiny_en, [0], [one])[0] for one in work]


def begin(prompt: DecoderPrompt) -> DecodingState:
    return greedy(prompt, max_new_tokens=MAX_NEW_TOKENS)


def assert_equal(states: list[DecodingState], expected: list[DecodingState]) -> None:
    for state, other in zip(states, expected, strict=True):
        assert state.sampled == other.sampled
        assert state.sum_logprob == pytest.approx(other.sum_logprob, abs=TIE)
        assert state.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-5)


def decode_in(pair: Pair, slots: list[int], work: list[Work]) -> list[DecodingState]:
    states = {slot: begin(prompt) for slot, (_, prompt) in zip(slots, work, strict=True)}
    pair.model.encode({slot: window for slot, (window, _) in zip(slots, work, strict=True)})
    decode(pair.model, states)
    for slot in slots:
        pair.model.free(slot)
    return [states[slot] for slot in slots]


def test_the_windows_give_different_texts(alone: list[DecodingState]) -> None:
    assert len({tuple(state.sampled) for state in alone}) >= 12
    assert len({len(state.prompt.tokens) for state in alone}) == 5


def test_sixteen_slots_together_give_the_results_of_each_alone(
    tiny_en: Pair, work: list[Work], alone: list[DecodingState]
) -> None:
    assert_equal(decode_in(tiny_en, list(range(N_SLOTS)), work), alone)


@pytest.mark.parametrize(
    "slots",
    [
        pytest.param([3, 7, 8], id="a single slot and a contiguous run"),
        pytest.param([0, 15], id="the first and the last"),
        pytest.param([15, 4, 5, 0], id="unordered"),
        pytest.param([2, 4, 6, 8, 10], id="no two adjacent"),
    ],
)
def test_any_slots_give_the_results_of_each_window_alone(
    tiny_en: Pair, work: list[Work], alone: list[DecodingState], slots: list[int]
) -> None:
    chosen = [3 * n % N_SLOTS for n in range(len(slots))]
    assert_equal(decode_in(tiny_en, slots, [work[n] for n in chosen]), [alone[n] for n in chosen])


def test_a_slot_reused_after_longer_windows_and_texts(
    tiny_en: Pair, work: list[Work], alone: list[DecodingState]
) -> None:
    slots = [6, 7, 8]
    decode_in(tiny_en, slots, [work[13], work[15], work[14]])
    again = [work[0], work[5], work[1]]
    assert_equal(decode_in(tiny_en, slots, again), [alone[0], alone[5], alone[1]])


def test_sequences_can_join_and_leave_at_every_step(
    tiny_en: Pair, work: list[Work], alone: list[DecodingState]
) -> None:
    """The batch changes at every step: slots 1, 2, 4, 5 … start one step after another."""
    waiting = {slot: work[slot] for slot in range(N_SLOTS) if slot % 3}
    states: dict[int, DecodingState] = {}
    while waiting or not all(state.is_finished for state in states.values()):
        if waiting:
            slot = min(waiting)
            window, prompt = waiting.pop(slot)
            states[slot] = begin(prompt)
            tiny_en.model.encode({slot: window})
            tiny_en.model.prefill({slot: states[slot]})
        running = {slot: state for slot, state in states.items() if not state.is_finished}
        if running:
            tiny_en.model.decode_step(running)
    for slot in states:
        tiny_en.model.free(slot)
    assert_equal(list(states.values()), [alone[slot] for slot in states])


def test_a_slot_can_pause_while_others_continue(
    tiny_en: Pair, work: list[Work], alone: list[DecodingState]
) -> None:
    states = {slot: begin(work[slot][1]) for slot in (0, 1, 2)}
    tiny_en.model.encode({slot: work[slot][0] for slot in states})
    tiny_en.model.prefill(states)
    for _ in range(5):
        tiny_en.model.decode_step({slot: states[slot] for slot in (0, 2)})
    while running := {slot: state for slot, state in states.items() if not state.is_finished}:
        tiny_en.model.decode_step(running)
    for slot in states:
        tiny_en.model.free(slot)
    assert_equal([states[slot] for slot in (0, 1, 2)], alone[:3])


def test_a_second_attempt_needs_no_second_encoding(
    tiny_en: Pair, work: list[Work], alone: list[DecodingState]
) -> None:
    window, prompt = work[4]
    tiny_en.model.encode({5: window})
    states = [begin(prompt) for _ in range(2)]
    for state in states:
        decode(tiny_en.model, {5: state})
    tiny_en.model.free(5)
    assert_equal(states, [alone[4]] * 2)


def test_the_earlier_contents_of_a_slot_after_its_window_are_ignored(tiny_en: Pair, speech: Waveform) -> None:
    """A window of 12 s follows one of 14 s, in a cache row of 15 s."""
    short = (cut_window(speech[: 7 * SAMPLE_RATE], padding_s=5.0), tiny_en.prompt("en"))
    full = (cut_window(speech[: 8 * SAMPLE_RATE], padding_s=6.0), tiny_en.prompt("en"))
    (expected,) = decode_in(tiny_en, [3], [short])
    decode_in(tiny_en, [3], [full])
    (again,) = decode_in(tiny_en, [3], [short])
    assert_equal([again], [expected])
