"""Whisper by transformers equals the native engine: texts, times, words, options. Nothing stays on the model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.transformers_models.loading import load_transformers_model
from hf_asr_endpoint.transformers_models.whisper import TransformersWhisper
from hf_asr_endpoint.types import Transcription
from hf_asr_endpoint.units import N_FRAMES
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState, begin_rows
from hf_asr_endpoint.whisper.language_scores import PositionSpan
from tests.conftest import DATA
from tests.transformers_models.conftest import loaded, transcribe
from tests.transformers_models.small_models import write_multilingual_whisper

CLIPS = [(DATA / name).read_bytes() for name in ("2414-128291-0009.flac", "3331-159605-0004.flac")]
GREEDY = DecodingOptions(temperatures=(0.0,))
SHORT = DecodingOptions.from_flat(temperatures=(0.0,), max_new_tokens=12)
TOLERANCE = 1e-4  # in logarithms of probabilities
UNEQUAL_WINDOWS = [
    torch.randn(80, n_frames, generator=torch.Generator().manual_seed(n_frames)) for n_frames in (400, 1_200, 600)
]
WHOLE = (PositionSpan(begin=0, end=None),)
TIME_TOLERANCE_S = 0.03  # Attention in float32 differs in its last bits.
ENGINES: dict[str, dict[str, Any]] = {
    "native": {"engine": "native", "dtype": "float32", "slots": 5},
    "transformers": {"engine": "transformers", "slots": 5},
}


@pytest.fixture(scope="module")
def native(small: Path, cache_dir: Path) -> Iterator[Transcriber]:
    with loaded(small, cache_dir, **ENGINES["native"]) as found:
        yield found


@pytest.fixture(scope="module")
def other(small: Path, cache_dir: Path) -> Iterator[Transcriber]:
    """The same model by transformers."""
    with loaded(small, cache_dir, **ENGINES["transformers"]) as found:
        yield found


@pytest.fixture(scope="module")
def small(base_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multilingual Whisper with random weights."""
    return write_multilingual_whisper(tmp_path_factory.mktemp("whisper") / "small", base_directory)


def all_clips(transcriber: Transcriber, **options: Any) -> list[Transcription]:
    async def run() -> list[Transcription]:
        return await asyncio.gather(*(transcribe(transcriber, clip, **options) for clip in CLIPS))

    return asyncio.run(run())


def test_real_texts_times_words_and_probabilities_equal_the_native_engines(
    tiny_en_directory: Path, cache_dir: Path
) -> None:
    results = []
    for settings in ENGINES.values():
        with loaded(tiny_en_directory, cache_dir, **settings) as transcriber:
            results.append(all_clips(transcriber, decoding=GREEDY, word_timestamps=True))
    for expected, found in zip(*results, strict=True):
        assert found.text == expected.text
        for left, right in zip(found.segments, expected.segments, strict=True):
            assert (left.start, left.end, left.tokens) == (right.start, right.end, right.tokens)
            assert left.window.avg_logprob == pytest.approx(right.window.avg_logprob, abs=1e-3)
            assert left.window.no_speech_prob == pytest.approx(right.window.no_speech_prob, abs=1e-3)
            for word, as_native in zip(left.words, right.words, strict=True):
                assert word.word == as_native.word
                assert word.start == pytest.approx(as_native.start, abs=TIME_TOLERANCE_S)
                assert word.probability == pytest.approx(as_native.probability, abs=1e-2)


@pytest.mark.parametrize(
    "options",
    [
        {"decoding": SHORT},
        {"decoding": SHORT, "languages": ("de", "fr")},
        {"decoding": SHORT, "language": "de", "task": "translate"},
        {"decoding": SHORT, "prompt": "Mr. Hale, Margaret", "hotwords": "Crampton", "language": "en"},
        {
            "decoding": DecodingOptions.from_flat(temperatures=(0.0,), num_beams=3, max_new_tokens=12),
            "language": "es",
            "token_logprobs": True,
        },
        {
            "decoding": DecodingOptions.from_flat(
                temperatures=(0.0,),
                suppress_tokens=(),
                repetition_penalty=1.5,
                min_new_tokens=9,
                max_new_tokens=14,
            ),
            "language": "fr",
        },
    ],
    ids=["detection", "few languages", "translation", "prompt", "beams", "suppression"],
)
def test_options_mean_the_same_on_both_engines(
    native: Transcriber, other: Transcriber, options: dict[str, Any]
) -> None:
    expected = asyncio.run(transcribe(native, CLIPS[0], **options))
    found = asyncio.run(transcribe(other, CLIPS[0], **options))
    assert found.segments
    assert (found.text, found.language, found.task) == (expected.text, expected.language, expected.task)
    assert [each.tokens for each in found.segments] == [each.tokens for each in expected.segments]
    left, right = found.segments[0], expected.segments[0]
    assert left.window.avg_logprob == pytest.approx(right.window.avg_logprob, abs=1e-3)
    assert [each.token for each in left.token_logprobs] == [each.token for each in right.token_logprobs]


def test_nothing_of_a_request_stays_on_the_model(other: Transcriber) -> None:
    """A language, a prompt, sampling, and the slow attention that words need would all change later requests."""
    before = asyncio.run(transcribe(other, CLIPS[1], decoding=SHORT))
    sampled = {
        "decoding": DecodingOptions.from_flat(
            temperatures=(0.9,), top_k=7, repetition_penalty=1.5, max_new_tokens=9
        ),
        "language": "de",
        "task": "translate",
        "prompt": "x",
        "word_timestamps": True,
    }
    one, two = (asyncio.run(transcribe(other, CLIPS[1], **sampled)) for _ in range(2))
    assert one.segments
    assert one == two, "equal requests have equal results"
    assert asyncio.run(transcribe(other, CLIPS[1], decoding=SHORT)) == before
    assert before.language != "de"


@pytest.mark.parametrize("n_beams", [1, 2])
def test_decoding_ends_within_a_step_when_nobody_waits_for_it(small: Path, n_beams: int) -> None:
    left_after, n_asked = 5, 0

    def has_left() -> bool:
        nonlocal n_asked
        n_asked += 1
        return n_asked >= left_after

    model, prompt = whisper_of(small)
    beams = DecodingOptions.from_flat(num_beams=n_beams)
    rows = begin_rows(prompt, AttemptRules(options=beams, max_new_tokens=200, min_new_tokens=200))
    rows[0].has_left = has_left
    model.prefill(dict(enumerate(rows)))
    assert rows[0].is_finished
    assert len(rows[0].logprobs) <= left_after
    assert n_asked == left_after


def test_a_request_that_leaves_a_batch_changes_no_other(small: Path) -> None:
    model, prompt = whisper_of(small)
    rules = AttemptRules(max_new_tokens=20, min_new_tokens=20)
    (alone,), (left,), (stays,) = (begin_rows(prompt, rules) for _ in range(3))
    left.has_left = lambda: True
    model.prefill({1: alone})
    model.prefill({0: left, 1: stays})
    assert len(left.sampled) == 1
    assert stays.sampled == alone.sampled
    assert len(stays.sampled) == 20


def test_windows_of_unequal_lengths_are_one_batch_and_give_what_each_gives_alone(small: Path) -> None:
    model, prompt = whisper_of(small)
    rules = AttemptRules(max_new_tokens=9, min_new_tokens=9)
    windows = dict(enumerate(UNEQUAL_WINDOWS))
    alone: dict[int, DecodingState] = {}
    scores = {}
    for slot, window in windows.items():
        scores |= model.encode({slot: window}, spans={slot: WHOLE})
        (alone[slot],) = begin_rows(prompt, rules)
        model.prefill({slot: alone[slot]})
    together_scores = model.encode(windows, spans=dict.fromkeys(windows, WHOLE))
    together = {slot: begin_rows(prompt, rules)[0] for slot in windows}
    asked: list[int] = []
    for slot, state in together.items():
        # Never true, as `append` returns None; mypy cannot infer a lambda with a default.
        state.has_left = lambda slot=slot: bool(asked.append(slot))  # type: ignore[misc]
    model.prefill(together)
    assert asked[:6] == [0, 1, 2, 0, 1, 2], "each step is of all three"
    for slot, state in together.items():
        assert state.sampled == alone[slot].sampled
        assert state.logprobs == pytest.approx(alone[slot].logprobs, abs=TOLERANCE)
        assert state.no_speech_prob == pytest.approx(alone[slot].no_speech_prob, rel=TOLERANCE)
        ((found,), (expected,)) = together_scores[slot], scores[slot]
        assert found.logprobs == pytest.approx(expected.logprobs, abs=TOLERANCE)


def whisper_of(directory: Path) -> tuple[TransformersWhisper, DecoderPrompt]:
    """Return a model with two windows encoded, and a prompt."""
    loaded_model = load_transformers_model(directory, device="cpu", dtype="auto")
    model, tokenizer = loaded_model.whisper, loaded_model.tokenizer
    assert model is not None
    assert tokenizer is not None
    windows = torch.randn(2, 80, N_FRAMES, generator=torch.Generator().manual_seed(1))
    model.encode(dict(enumerate(windows)))
    tokens = (tokenizer.sot, tokenizer.language_tokens["en"], tokenizer.task_tokens["transcribe"])
    return model, DecoderPrompt(tokens=tokens)


def test_a_batch_gives_what_each_clip_gives_alone(other: Transcriber) -> None:
    together = all_clips(other, decoding=SHORT)
    alone = [asyncio.run(transcribe(other, clip, decoding=SHORT)) for clip in CLIPS]
    assert [each.text for each in together] == [each.text for each in alone]
