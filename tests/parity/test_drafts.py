"""A text that begins with known tokens, and drafts of what follows: the same text in fewer steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt, DecodingState
from tests.parity.conftest import Pair
from tests.parity.decoding import decode, greedy
from tests.parity.oracle import TIE
from tests.parity.recordings import cut_window

pytestmark = pytest.mark.parity

OTHER_TOKEN = 1000


@pytest.fixture(scope="module")
def prompt(tiny_en: Pair) -> DecoderPrompt:
    return tiny_en.prompt("en")


@pytest.fixture(scope="module")
def text(tiny_en: Pair, prompt: DecoderPrompt, speech: Waveform) -> DecodingState:
    """What the model makes of six seconds, step by step. Its window stays in the first slot."""
    tiny_en.model.encode({0: cut_window(speech[: 6 * SAMPLE_RATE])})
    state, _ = run(tiny_en, prompt)
    assert len(state.sampled) > 12
    return state


def run(pair: Pair, prompt: DecoderPrompt) -> tuple[DecodingState, int]:
    """Return the text of the window in the first slot, and how many steps followed its prefill."""
    state, n_steps = greedy(prompt, max_new_tokens=60), 0
    pair.model.prefill({0: state})
    while not state.is_finished:
        pair.model.decode_step({0: state})
        n_steps += 1
    return state, n_steps


def assert_same_text(state: DecodingState, text: DecodingState) -> None:
    assert state.sampled == text.sampled
    assert state.logprobs == pytest.approx(text.logprobs, abs=TIE)
    assert state.no_speech_prob == pytest.approx(text.no_speech_prob, abs=1e-5)


def test_a_right_draft_takes_no_step(tiny_en: Pair, prompt: DecoderPrompt, text: DecodingState) -> None:
    state, n_steps = run(tiny_en, replace(prompt, draft=tuple(text.sampled)))
    assert_same_text(state, text)
    assert n_steps == 0


def test_a_draft_helps_up_to_a_wrong_token_and_again_behind_it(
    tiny_en: Pair, prompt: DecoderPrompt, text: DecodingState
) -> None:
    wrong = (*text.sampled[:4], OTHER_TOKEN, *text.sampled[5:])
    state, n_steps = run(tiny_en, replace(prompt, draft=wrong))
    assert_same_text(state, text)
    # The token behind the wrong one tells where the text goes on, and the next one confirms it.
    assert n_steps == 3


def test_a_draft_may_lack_timestamps_and_words_and_have_others(
    tiny_en: Pair, prompt: DecoderPrompt, text: DecodingState
) -> None:
    words = tiny_en.vocabulary.text_tokens(text.sampled)
    assert len(words) < len(text.sampled)
    draft = (*words[:3], *words[4:8], OTHER_TOKEN, *words[8:])
    state, n_steps = run(tiny_en, replace(prompt, draft=draft, feeds_draft=False))
    assert_same_text(state, text)
    assert n_steps <= len(text.sampled) - 5


@pytest.mark.parametrize("feeds_draft", [True, False])
def test_a_draft_of_something_else_changes_nothing(
    tiny_en: Pair, prompt: DecoderPrompt, text: DecodingState, feeds_draft: bool
) -> None:
    state, n_steps = run(tiny_en, replace(prompt, draft=(OTHER_TOKEN,) * 20, feeds_draft=feeds_draft))
    assert_same_text(state, text)
    assert n_steps == len(text.sampled)


def test_texts_with_and_without_drafts_advance_together(
    tiny_en: Pair, prompt: DecoderPrompt, text: DecodingState, speech: Waveform
) -> None:
    window = cut_window(speech[: 6 * SAMPLE_RATE])
    tiny_en.model.encode(dict.fromkeys((1, 2, 3), window))
    draft = tiny_en.vocabulary.text_tokens(text.sampled)
    prompts = {1: prompt, 2: replace(prompt, draft=draft, feeds_draft=False), 3: prompt}
    states = {slot: greedy(of_slot, max_new_tokens=60) for slot, of_slot in prompts.items()}
    decode(tiny_en.model, states)
    for slot, state in states.items():
        assert_same_text(state, text)
        tiny_en.model.free(slot)


def test_a_prefix_is_continued(tiny_en: Pair, prompt: DecoderPrompt, text: DecodingState) -> None:
    begun = replace(prompt, prefix=tuple(text.sampled[:5]), prefix_logprobs=tuple(text.logprobs[:5]))
    assert_same_text(run(tiny_en, begun)[0], text)
    state, n_steps = run(tiny_en, replace(begun, draft=tuple(text.sampled[5:9])))
    assert_same_text(state, text)
    assert n_steps == len(text.sampled) - 9
