from __future__ import annotations

import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.languages import LANGUAGE_NAMES, parse_language


def test_table_equals_that_of_transformers() -> None:
    assert LANGUAGE_NAMES == LANGUAGES


@pytest.mark.parametrize(("name", "code"), TO_LANGUAGE_CODE.items())
def test_names_and_aliases_are_accepted(name: str, code: str) -> None:
    assert parse_language(name.title()) == code


@pytest.mark.parametrize("text", ["de", "DE", " German ", "<|de|>"])
def test_code_name_and_token_mean_the_same_language(text: str) -> None:
    assert parse_language(text) == "de"


@pytest.mark.parametrize(("text", "hint"), [("germn", "german"), ("", "100 languages"), ("xx", "allowed")])
def test_unknown_language_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(InvalidParameter, match=hint):
        parse_language(text)
