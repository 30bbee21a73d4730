"""The language of each part of a window, with real weights. tests/parity/test_window.py compares whole windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import N_POSITIONS, SAMPLE_RATE, TIME_PRECISION_S
from hf_asr_endpoint.whisper.checkpoint.loader import load_checkpoint
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from tests.conftest import DATA
from tests.parity.decoding import decode, greedy, likeliest
from tests.parity.recordings import Recording, cut_window

pytestmark = pytest.mark.usefixtures("one_thread")

CLIP_S = 8
PAUSE_S = 1
FIRST = PositionSpan(0, round(CLIP_S / TIME_PRECISION_S))
N_PAUSE = round(PAUSE_S / TIME_PRECISION_S)
SECOND = PositionSpan(FIRST.end + N_PAUSE, 2 * FIRST.end + N_PAUSE)
TOLERANCE = 1e-4

Loaded = tuple[WhisperSpeechModel, WhisperTokenizer]


@pytest.fixture(scope="module")
def loaded(base_directory: Path) -> Loaded:
    checkpoint = load_checkpoint(base_directory, device="cpu", dtype="float32")
    return WhisperSpeechModel(checkpoint, slots=4, arithmetic="float"), checkpoint.tokenizer


def clip(name: str) -> Waveform:
    return Recording(path=DATA / name, language="").waveform()[: CLIP_S * SAMPLE_RATE]


def two_clips(first: str, second: str) -> torch.Tensor:
    """Return the window of two clips, at FIRST and SECOND, with a pause between them."""
    waveform = np.zeros((2 * CLIP_S + PAUSE_S) * SAMPLE_RATE, np.float32)
    waveform[: CLIP_S * SAMPLE_RATE] = clip(first)
    waveform[-CLIP_S * SAMPLE_RATE :] = clip(second)
    return cut_window(waveform)


def languages_of(loaded: Loaded, window: torch.Tensor, spans: Sequence[PositionSpan]) -> list[str]:
    codes = {token: code for code, token in loaded[1].language_tokens.items()}
    return [codes[likeliest(scores)] for scores in score(loaded, window, spans)]


def score(loaded: Loaded, window: torch.Tensor, spans: Sequence[PositionSpan]) -> list[LanguageScores]:
    model, _ = loaded
    (scores,) = model.encode({1: window}, spans={1: spans}).values()
    model.free(1)
    return scores


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("jfk.mp3", "fleurs-de-005.ogg", ["en", "de"]),
        ("fleurs-de-005.ogg", "jfk.mp3", ["de", "en"]),
        ("fleurs-de-005.ogg", "fleurs-es-002.ogg", ["de", "es"]),
        ("fleurs-es-002.ogg", "fleurs-de-005.ogg", ["es", "de"]),
    ],
)
def test_each_part_of_a_window_has_its_own_language(
    loaded: Loaded, first: str, second: str, expected: list[str]
) -> None:
    assert languages_of(loaded, two_clips(first, second), [FIRST, SECOND]) == expected


def test_scores_are_probabilities_of_all_languages(loaded: Loaded) -> None:
    (scores,) = score(loaded, cut_window(clip("jfk.mp3")), [FIRST])
    assert scores.logprobs.keys() == set(loaded[1].language_tokens.values())
    assert sum(math.exp(logprob) for logprob in scores.logprobs.values()) == pytest.approx(1)
    assert 0 <= scores.no_speech_prob < 0.1


def test_a_part_without_speech_is_told_from_speech(loaded: Loaded) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 6 * SAMPLE_RATE).astype(np.float32)
    (scores,) = score(loaded, cut_window(noise), [PositionSpan(0, 300)])
    (spoken,) = score(loaded, cut_window(clip("jfk.mp3")), [FIRST])
    assert spoken.no_speech_prob < 0.1 < scores.no_speech_prob


def test_scores_do_not_depend_on_who_asks_beside(loaded: Loaded) -> None:
    model, _ = loaded
    german, french = cut_window(clip("fleurs-de-005.ogg")), cut_window(clip("fleurs-fr-000.ogg"))
    alone = [score(loaded, window, [FIRST])[0] for window in (german, french)]
    together = model.encode({0: german, 2: french, 3: french.clone()}, spans={0: [FIRST], 2: [FIRST]})
    for slot in (0, 2, 3):
        model.free(slot)
    assert together.keys() == {0, 2}, "who did not ask is not answered"
    for slot, expected in zip((0, 2), alone, strict=True):
        (scores,) = together[slot]
        assert dict(scores.logprobs) == pytest.approx(dict(expected.logprobs), abs=TOLERANCE)
        assert scores.no_speech_prob == pytest.approx(expected.no_speech_prob, abs=TOLERANCE)


def test_a_text_after_the_question_is_the_text_without_it(loaded: Loaded) -> None:
    """The question uses no slot's cache; the window's keys and values are written as without it."""
    model, tokenizer = loaded
    window = two_clips("jfk.mp3", "fleurs-de-005.ogg")
    texts = []
    for spans in ({}, {1: [FIRST, SECOND]}):
        model.encode({1: window}, spans=spans)
        prompt = (tokenizer.sot, tokenizer.language_tokens["en"], tokenizer.task_tokens["transcribe"])
        state = greedy(DecoderPrompt(tokens=prompt), max_new_tokens=20)
        decode(model, {1: state})
        model.free(1)
        texts.append((state.sampled, state.sum_logprob))
    assert texts[0] == texts[1]
    assert len(texts[0][0]) > 10


def test_a_span_that_fills_the_window_attends_to_all_of_it(loaded: Loaded) -> None:
    """So does one part of speech amid silence: only other parts are hidden."""
    window = cut_window(clip("fleurs-de-005.ogg"))
    (part,), (whole,) = (score(loaded, window, [span]) for span in (FIRST, PositionSpan(0, N_POSITIONS)))
    assert dict(part.logprobs) == pytest.approx(dict(whole.logprobs), abs=TOLERANCE)
