from __future__ import annotations

from typing import Any

import pytest

from hf_asr_endpoint.errors import InvalidParameter, UnsupportedValue
from hf_asr_endpoint.transcription.model_languages import check_language_and_task
from hf_asr_endpoint.types import TranscriptionOptions

LARGE_V2 = ("de", "en", "zh")
"""Without Cantonese, as the models before large-v3."""


def check(*, is_multilingual: bool = True, **options: Any) -> None:
    check_language_and_task(LARGE_V2, TranscriptionOptions(**options), is_multilingual=is_multilingual)


@pytest.mark.parametrize(
    ("is_multilingual", "options"),
    [
        (True, {}),
        (True, {"language": "de", "task": "translate"}),
        (True, {"languages": ("de", "zh")}),
        (False, {"language": "en"}),
        (False, {"languages": ("en",)}),
    ],
)
def test_what_the_model_has_passes(is_multilingual: bool, options: dict[str, Any]) -> None:
    check(is_multilingual=is_multilingual, **options)


@pytest.mark.parametrize(
    ("is_multilingual", "options", "message"),
    [
        (
            True,
            {"language": "yue"},
            "language is 'yue' (cantonese), which the model was not trained on; allowed: de,",
        ),
        (True, {"languages": ("de", "yue")}, "languages is 'yue' (cantonese), which the model was not trained on"),
        (
            False,
            {"language": "de"},
            "language is 'de' (german), which an English-only model does not have; allowed: en",
        ),
        (False, {"languages": ("en", "fr")}, "languages is 'fr' (french), which an English-only model"),
    ],
)
def test_a_language_that_the_model_lacks_is_refused_by_name(
    is_multilingual: bool, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsupportedValue) as refused:
        check(is_multilingual=is_multilingual, **options)
    assert message in str(refused.value)
    assert refused.value.parameter == next(iter(options))


def test_an_english_only_model_does_not_translate() -> None:
    with pytest.raises(InvalidParameter, match="English-only") as refused:
        check(is_multilingual=False, task="translate")
    assert refused.value.parameter == "task"
