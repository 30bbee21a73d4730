from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from hf_asr_endpoint.decoding_options import FallbackThresholds
from hf_asr_endpoint.transcription.fallback import (
    MAX_ATTEMPTS_FOR_SKIPPED_SPEECH,
    Fallback,
    Step,
    compression_ratio,
    ladder,
)
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState

TEMPERATURES = (0.0, 0.4, 0.8)
THRESHOLDS = FallbackThresholds()
LOOP = [1] * 200  # its text compresses more than 2.4 times


def decode(tokens: Sequence[int]) -> str:
    return " ".join(f"word{token}" for token in tokens)


def result(*tokens: int, avg_logprob: float = -0.3, no_speech_prob: float = 0.1) -> DecodingState:
    state = DecodingState(prompt=DecoderPrompt(tokens=(1,)), rules=AttemptRules(max_new_tokens=300))
    state.sampled = list(tokens) or [4, 5, 6]
    state.logprobs = [avg_logprob] * (len(state.sampled) + 1)
    state.no_speech_prob = no_speech_prob
    return state


def climb(
    *results: DecodingState,
    thresholds: FallbackThresholds = THRESHOLDS,
    temperatures: tuple[float, ...] = TEMPERATURES,
    is_cut: bool = False,
    speech_s: float = 5.0,
) -> Fallback:
    """Take all results. Assert that every one but the last is followed by another attempt."""
    steps = ladder(temperatures, is_cut=is_cut)
    fallback = Fallback(steps, thresholds, speech_s=speech_s, decode=decode)
    for n, state in enumerate(results):
        assert fallback.step == steps[n]
        following = fallback.next(state)
        is_last = n == len(results) - 1
        assert following == (None if is_last else steps[n + 1])
    return fallback


GOOD = result()
UNLIKELY = result(avg_logprob=-1.4)
REPETITIVE = result(*LOOP)
SILENT = result(avg_logprob=-1.4, no_speech_prob=0.9)


def kept(fallback: Fallback) -> DecodingState | None:
    attempted = fallback.result()
    return None if attempted is None else attempted.state


def test_the_ladder_of_a_whole_window_is_its_temperatures() -> None:
    assert ladder((0.0, 0.5), is_cut=False) == (
        Step(temperature=0.0, is_whole=True),
        Step(temperature=0.5, is_whole=True),
    )


def test_a_failed_cut_window_is_decoded_whole_before_the_next_temperature() -> None:
    assert ladder((0.0, 0.5), is_cut=True) == (
        Step(temperature=0.0, is_whole=False),
        Step(temperature=0.0, is_whole=True),
        Step(temperature=0.5, is_whole=True),
    )


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_first_attempt_that_passes_is_accepted(is_cut: bool) -> None:
    attempted = climb(GOOD, is_cut=is_cut).result()
    assert attempted is not None
    assert (attempted.state, attempted.temperature) == (GOOD, 0.0)


@pytest.mark.parametrize("bad", [UNLIKELY, REPETITIVE], ids=["unlikely", "repetitive"])
def test_a_failed_attempt_is_decoded_again_at_a_higher_temperature(bad: DecodingState) -> None:
    attempted = climb(bad, bad, GOOD).result()
    assert attempted is not None
    assert (attempted.state, attempted.temperature) == (GOOD, 0.8)


def test_an_attempt_that_passes_is_kept_even_if_an_earlier_one_was_likelier() -> None:
    assert kept(climb(result(*LOOP, avg_logprob=-0.01), GOOD)) is GOOD


@pytest.mark.parametrize(
    ("state", "passes"),
    [
        pytest.param(result(avg_logprob=-1.0), True, id="logprob at the threshold"),
        pytest.param(result(avg_logprob=-1.001), False, id="logprob under it"),
        pytest.param(result(avg_logprob=-1.001, no_speech_prob=0.6), False, id="silence at its threshold"),
        pytest.param(result(avg_logprob=-1.001, no_speech_prob=0.601), True, id="silence above it"),
        pytest.param(result(avg_logprob=-0.999, no_speech_prob=0.99), True, id="a likely text"),
        pytest.param(result(*LOOP, no_speech_prob=0.99), False, id="a likely loop"),
    ],
)
def test_thresholds(state: DecodingState, passes: bool) -> None:
    fallback = Fallback(ladder(TEMPERATURES, is_cut=False), THRESHOLDS, speech_s=5.0, decode=decode)
    assert (fallback.next(state) is None) == passes


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        pytest.param({"logprob_threshold": None}, UNLIKELY, id="logprob"),
        pytest.param({"logprob_threshold": -2.0}, UNLIKELY, id="another logprob"),
        pytest.param({"compression_ratio_threshold": None}, REPETITIVE, id="compression"),
        pytest.param({"compression_ratio_threshold": 500.0}, REPETITIVE, id="another compression"),
    ],
)
def test_thresholds_come_from_the_options(changes: dict[str, float | None], state: DecodingState) -> None:
    assert kept(climb(state, thresholds=replace(THRESHOLDS, **changes))) is state


def test_silence_ends_the_fallback_without_text() -> None:
    assert kept(climb(SILENT)) is None


def test_silence_takes_precedence_over_repetition() -> None:
    assert kept(climb(result(*LOOP, avg_logprob=-1.4, no_speech_prob=0.9))) is None


def test_a_later_attempt_may_be_silence() -> None:
    assert kept(climb(REPETITIVE, SILENT)) is None


def test_a_whole_window_of_silence_does_not_drop_the_word_that_a_cut_one_found() -> None:
    """A word alone in noise: unlikely where it fills the window, P(no_speech) is high where it does not."""
    word = result(4, 5, avg_logprob=-1.2, no_speech_prob=0.5)
    fallback = Fallback(ladder((0.0, 0.2), is_cut=True), THRESHOLDS, speech_s=5.0, decode=decode)
    assert fallback.next(word) is not None
    assert fallback.next(SILENT) is None
    assert kept(fallback) is word


def test_silence_at_a_higher_temperature_does_not_drop_unlikely_text() -> None:
    assert kept(climb(UNLIKELY, SILENT)) is UNLIKELY


def test_without_a_no_speech_threshold_text_is_kept() -> None:
    thresholds = replace(THRESHOLDS, no_speech_threshold=None)
    assert kept(climb(SILENT, GOOD, thresholds=thresholds)) is GOOD


def test_without_a_logprob_threshold_no_speech_prob_alone_decides_about_silence() -> None:
    thresholds = replace(THRESHOLDS, logprob_threshold=None)
    assert kept(climb(result(no_speech_prob=0.9), thresholds=thresholds)) is None


def test_if_no_attempt_passes_the_likeliest_one_without_repetition_is_kept() -> None:
    middle = result(avg_logprob=-1.2)
    worse = result(avg_logprob=-1.3)
    assert kept(climb(worse, middle, UNLIKELY)) is middle
    assert kept(climb(REPETITIVE, worse, UNLIKELY)) is worse


def test_if_every_attempt_repeats_itself_the_likeliest_one_is_kept() -> None:
    likelier = result(*LOOP, avg_logprob=-0.1)
    assert kept(climb(REPETITIVE, likelier, REPETITIVE)) is likelier


def test_a_single_temperature_keeps_its_only_attempt() -> None:
    assert kept(climb(UNLIKELY, temperatures=(0.0,))) is UNLIKELY
    assert kept(climb(REPETITIVE, temperatures=(0.0,))) is REPETITIVE


def climb_past_skipped(*results: DecodingState) -> Fallback:
    """Take results. Those with token 99 skip speech."""
    steps = ladder((0.0, 0.2, 0.4, 0.6), is_cut=False)
    fallback = Fallback(steps, THRESHOLDS, speech_s=5.0, decode=decode)
    for n, state in enumerate(results):
        assert (fallback.next(state, skips_speech=99 in state.sampled) is None) == (n == len(results) - 1)
    return fallback


SKIPPING = result(4, 99, avg_logprob=-0.1)


def test_an_attempt_with_the_skipped_speech_is_preferred() -> None:
    assert kept(climb_past_skipped(SKIPPING, GOOD)) is GOOD


def test_attempts_for_skipped_speech_are_limited() -> None:
    likelier = result(4, 99, avg_logprob=-0.05)
    assert kept(climb_past_skipped(SKIPPING, likelier, SKIPPING)) is likelier
    assert MAX_ATTEMPTS_FOR_SKIPPED_SPEECH == 3


def test_an_attempt_that_skips_speech_is_better_than_one_that_fails() -> None:
    assert kept(climb_past_skipped(SKIPPING, UNLIKELY, REPETITIVE, UNLIKELY)) is SKIPPING


def test_silence_in_a_cut_window_with_speech_is_believed_only_of_the_whole_one() -> None:
    assert kept(climb(SILENT, GOOD, is_cut=True)) is GOOD
    assert kept(climb(SILENT, SILENT, is_cut=True)) is None


def test_silence_in_a_cut_window_is_believed_where_vad_found_less_than_a_second() -> None:
    assert kept(climb(SILENT, is_cut=True, speech_s=0.9)) is None


def test_an_attempt_that_is_silence_is_never_kept_as_text() -> None:
    """It once was: it skipped speech, all later attempts failed, and it was the likeliest of all."""
    silent = result(4, 99, avg_logprob=-1.2, no_speech_prob=0.9)
    worse = result(5, 6, avg_logprob=-1.5)
    assert kept(climb_past_skipped(silent, worse, worse, worse)) is worse


def test_compression_ratio_equals_that_of_whisper() -> None:
    assert compression_ratio("ab " * 100) > 10
    assert compression_ratio("I have none, I said happily.") < 1
    assert compression_ratio("") == 0.0
    assert compression_ratio("ü") == 2 / 10  # Bytes, not characters.
