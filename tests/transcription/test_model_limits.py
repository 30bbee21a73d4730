from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.transcription.model_limits import (
    check_language_and_task,
    check_suppressed_tokens,
    check_width,
)
from hf_asr_endpoint.types import MODELS_OWN_TOKENS, DecodingOptions, TranscriptionOptions
from hf_asr_endpoint.whisper.tokenizer import WhisperTokenizer


@pytest.fixture(scope="module")
def tokenizer(base_directory: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_directory(base_directory)


@pytest.mark.parametrize(
    ("options", "is_multilingual"),
    [
        pytest.param(TranscriptionOptions(), True, id="nothing asked"),
        pytest.param(TranscriptionOptions(language="de", task="translate"), True, id="all of it"),
        pytest.param(TranscriptionOptions(), False, id="nothing asked of an English-only model"),
        pytest.param(TranscriptionOptions(language="en"), False, id="English"),
    ],
)
def test_what_a_model_can_follow_is_let_through(
    tokenizer: WhisperTokenizer, options: TranscriptionOptions, is_multilingual: bool
) -> None:
    check_language_and_task(tokenizer, options, is_multilingual=is_multilingual)


@pytest.mark.parametrize(
    ("options", "is_multilingual", "message"),
    [
        pytest.param(
            TranscriptionOptions(task="translate"),
            False,
            "task is 'translate', but the model is English-only; allowed: 'transcribe'",
            id="task",
        ),
        pytest.param(
            TranscriptionOptions(language="de"),
            False,
            "language is 'de', but the model is English-only; allowed: 'en'",
            id="language",
        ),
        pytest.param(
            TranscriptionOptions(language="yue"),
            True,
            "language is 'yue', which the model was not trained on; allowed: af, am, ar, ",
            id="a language of later models",
        ),
    ],
)
def test_what_it_cannot_follow_is_refused_by_name(
    tokenizer: WhisperTokenizer, options: TranscriptionOptions, is_multilingual: bool, message: str
) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_language_and_task(tokenizer, options, is_multilingual=is_multilingual)
    assert str(caught.value).startswith(message)


def test_as_many_beams_and_samples_as_slots_are_let_through() -> None:
    check_width(DecodingOptions(num_beams=8, best_of=8), n_slots=8)
    check_width(DecodingOptions(num_beams=9, temperatures=(0.4,)), n_slots=8)
    check_width(DecodingOptions(best_of=9, temperatures=(0.0,)), n_slots=8)


@pytest.mark.parametrize("name", ["num_beams", "best_of"])
def test_more_beams_or_samples_than_slots_are_refused_with_both_numbers(name: str) -> None:
    with pytest.raises(InvalidParameter, match=rf"{name} is 9, but .* 8 at a time .*; allowed: up to 8"):
        check_width(replace(DecodingOptions(), **{name: 9}), n_slots=8)


@pytest.mark.parametrize("tokens", [None, (), (0, 11, 50_257, 50_363), (MODELS_OWN_TOKENS, 7)])
def test_lists_of_tokens_that_are_no_timestamps_are_let_through(
    tokenizer: WhisperTokenizer, tokens: tuple[int, ...] | None
) -> None:
    check_suppressed_tokens(tokenizer, DecodingOptions(suppress_tokens=tokens))


@pytest.mark.parametrize("token", [-2, 50_364, 99_999], ids=["none", "the first timestamp", "past the end"])
def test_what_is_no_token_or_a_timestamp_is_refused(tokenizer: WhisperTokenizer, token: int) -> None:
    with pytest.raises(InvalidParameter, match=rf"suppress_tokens has {token}; allowed: ids from 0 to 50363"):
        check_suppressed_tokens(tokenizer, DecodingOptions(suppress_tokens=(5, token)))
