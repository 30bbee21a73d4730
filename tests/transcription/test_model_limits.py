from __future__ import annotations

from pathlib import Path

import pytest

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS, DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.transcription.model_limits import (
    check_language_and_task,
    check_suppress_tokens,
    check_width,
)
from hf_asr_endpoint.types import TranscriptionOptions
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer


@pytest.fixture(scope="module")
def tokenizer(base_directory: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_directory(base_directory)


@pytest.mark.parametrize(
    ("options", "is_multilingual"),
    [
        pytest.param(TranscriptionOptions(), True, id="defaults"),
        pytest.param(TranscriptionOptions(language="de", task="translate"), True, id="language and task"),
        pytest.param(TranscriptionOptions(), False, id="defaults of an English-only model"),
        pytest.param(TranscriptionOptions(language="en"), False, id="English"),
    ],
)
def test_options_that_the_model_can_follow_pass(
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
def test_options_that_the_model_cannot_follow_are_refused_by_name(
    tokenizer: WhisperTokenizer, options: TranscriptionOptions, is_multilingual: bool, message: str
) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_language_and_task(tokenizer, options, is_multilingual=is_multilingual)
    assert str(caught.value).startswith(message)


CONTRASTIVE = {"penalty_alpha": 0.6, "top_k": 9}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(DecodingOptions.from_flat(num_beams=8, best_of=8), id="at the limit"),
        pytest.param(
            DecodingOptions.from_flat(num_beams=9, temperatures=(0.4,)), id="beams without temperature 0"
        ),
        pytest.param(
            DecodingOptions.from_flat(best_of=9, temperatures=(0.0,)), id="samples at temperature 0 only"
        ),
        pytest.param(DecodingOptions.from_flat(penalty_alpha=0.6, top_k=8), id="candidates at the limit"),
        pytest.param(
            DecodingOptions.from_flat(**CONTRASTIVE, temperatures=(0.4,)), id="candidates without temperature 0"
        ),
        pytest.param(DecodingOptions.from_flat(top_k=9), id="a sampling filter"),
    ],
)
def test_a_width_up_to_the_limit_is_accepted(options: DecodingOptions) -> None:
    check_width(options, max_beams=8, slots=8)


@pytest.mark.parametrize(
    ("max_beams", "n_slots", "setting"), [(8, 16, "--max-beams"), (8, 8, "--max-beams"), (16, 8, "--slots")]
)
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (DecodingOptions.from_flat(num_beams=9), "num_beams is 9;"),
        (DecodingOptions.from_flat(best_of=9), "best_of is 9;"),
        (DecodingOptions.from_flat(**CONTRASTIVE), "top_k is 9 beside penalty_alpha 0.6;"),
    ],
)
def test_a_width_above_the_limit_is_refused_with_both_numbers_and_the_setting(
    options: DecodingOptions, named: str, max_beams: int, n_slots: int, setting: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_width(options, max_beams=max_beams, slots=n_slots)
    assert str(refused.value) == f"{named} allowed: up to 8, by this server's setting {setting}"


@pytest.mark.parametrize("tokens", [None, (), (0, 11, 50_257, 50_363), (MODELS_OWN_TOKENS, 7)])
def test_suppressing_tokens_that_are_not_timestamps_is_accepted(
    tokenizer: WhisperTokenizer, tokens: tuple[int, ...] | None
) -> None:
    check_suppress_tokens(tokenizer, DecodingOptions.from_flat(suppress_tokens=tokens))


@pytest.mark.parametrize(
    "token", [-2, 50_364, 99_999], ids=["a negative id", "the first timestamp", "above the vocabulary"]
)
def test_suppressing_a_timestamp_or_an_unknown_id_is_refused(tokenizer: WhisperTokenizer, token: int) -> None:
    with pytest.raises(InvalidParameter, match=rf"suppress_tokens has {token}; allowed: ids from 0 to 50363"):
        check_suppress_tokens(tokenizer, DecodingOptions.from_flat(suppress_tokens=(5, token)))
