"""The encoder's features, the scores of languages and P(no_speech) of a window equal transformers'."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import N_SAMPLES, SAMPLE_RATE
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt
from tests.conftest import DATA
from tests.parity.conftest import Pair
from tests.parity.decoding import WHOLE, decode, greedy, likeliest
from tests.parity.recordings import LOCAL, Recording, cut_window, whole_window

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4  # of probabilities
LOGPROB_TOLERANCE = 1e-3
FEATURE_TOLERANCE = 1e-3  # of values up to 24; transformers' float32 is up to 7e-4 off its float64

ENGLISH = LOCAL[0].waveform


def noise() -> Waveform:
    return np.random.default_rng(0).normal(0, 0.1, N_SAMPLES // 3).astype(np.float32)


def test_features_of_a_whole_window_equal_those_of_transformers(pair: Pair) -> None:
    window = whole_window(ENGLISH())
    with torch.inference_mode():
        (features,) = pair.encoder([window])
    assert features.shape == (1_500, features.shape[1])
    torch.testing.assert_close(features, pair.oracle.encode(window), atol=FEATURE_TOLERANCE, rtol=0)


def test_features_of_a_cut_window_equal_those_of_transformers_layers(tiny_en: Pair) -> None:
    window = cut_window(ENGLISH()[: 3 * SAMPLE_RATE])
    with torch.inference_mode():
        (features,) = tiny_en.encoder([window])
    assert features.shape == (400, features.shape[1])
    torch.testing.assert_close(features, tiny_en.oracle.encode_cut(window), atol=FEATURE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", ["jfk.mp3", "fleurs-de-005.ogg", "fleurs-es-002.ogg", "fleurs-fr-000.ogg", None])
def test_scores_of_a_whole_window_equal_those_of_transformers(base: Pair, name: str | None) -> None:
    """Without a name in silence, the hardest case."""
    silence = np.zeros(2 * SAMPLE_RATE, np.float32)
    window = whole_window(silence if name is None else Recording(path=DATA / name, language="").waveform())
    features = base.oracle.encode(window)
    (scores,) = base.model.encode({3: window}, spans={3: [WHOLE]})[3]
    base.model.free(3)
    assert base.vocabulary.language(likeliest(scores)) == base.oracle.language(features)
    assert dict(scores.logprobs) == pytest.approx(base.oracle.language_logprobs(features), abs=LOGPROB_TOLERANCE)
    expected = base.oracle.no_speech_prob(features, DecoderPrompt(tokens=(base.tokenizer.sot,)))
    assert scores.no_speech_prob == pytest.approx(expected, abs=TOLERANCE)


def test_no_speech_prob_equals_that_of_transformers_for_any_prompt(base: Pair) -> None:
    """In silence, the hardest case. test_greedy.py compares it in speech."""
    window = whole_window(np.zeros(2 * SAMPLE_RATE, np.float32))
    features = base.oracle.encode(window)
    base.model.encode({0: window})
    for prompt in (base.prompt("en"), base.prompt("de", previous=(400, 370, 452))):
        state = greedy(prompt, max_new_tokens=1)
        decode(base.model, {0: state})
        assert state.no_speech_prob == pytest.approx(base.oracle.no_speech_prob(features, prompt), abs=TOLERANCE)
    base.model.free(0)


def test_no_speech_prob_is_low_in_speech_and_high_in_noise(tiny_en: Pair) -> None:
    states = {slot: greedy(tiny_en.prompt("en"), max_new_tokens=1) for slot in (0, 1)}
    tiny_en.model.encode({0: cut_window(ENGLISH()), 1: cut_window(noise())})
    decode(tiny_en.model, states)
    assert states[0].no_speech_prob < 0.1
    assert states[1].no_speech_prob > 0.5
