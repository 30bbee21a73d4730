from __future__ import annotations

import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.languages import LANGUAGE_NAMES, parse_language


def test_the_table_is_whispers() -> None:
    assert LANGUAGE_NAMES == LANGUAGES


@pytest.mark.parametrize(("name", "code"), TO_LANGUAGE_CODE.items())
def test_names_and_other_names(name: str, code: str) -> None:
    assert parse_language(name.title()) == code


@pytest.mark.parametrize("text", ["de", "DE", " German ", "<|de|>"])
def test_ways_to_say_german(text: str) -> None:
    assert parse_language(text) == "de"


@pytest.mark.parametrize(("text", "hint"), [("germn", "german"), ("", "100 languages"), ("xx", "allowed")])
def test_anything_else_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(InvalidParameter, match=hint):
        parse_language(text)
