"""Languages in every spelling, and values that ask for what is done anyway, in DeepInfra's API."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hf_asr_endpoint.errors import InvalidParameter
from tests.api.deepinfra.test_parameters import DEFAULTS, parse


@pytest.mark.parametrize("text", ["de", "DEU", "de-AT", "german", "Deutsch", '"ger"', "<|de|>"])
def test_a_language_in_any_spelling(text: str) -> None:
    assert parse(("language", text)) == replace(DEFAULTS, language="de")


@pytest.mark.parametrize("text", ["auto", "", "null", "None", "und", '"auto"'])
def test_a_word_for_detection_is_no_language(text: str) -> None:
    assert parse(("language", text)) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("diarize", "false"),
        ("vad_filter", "True"),
        ("known_speaker_names[]", ""),
        ("batch_size", "8"),
        ("beam_size", "1"),
        ("stream", "False"),
        ("response_format", "json"),
        ("word_timestamps", "0"),
        ("seed", "0"),
        ("user", "someone"),
        ("metadata", '{"a": 1}'),
        ("temperature", "None"),
        ("temperature", '"0.0"'),
        ("condition_on_previous_text", "yes"),
        ("condition_on_previous_text", "1"),
        ("chunk_length_s", "30.0"),
    ],
)
def test_a_value_that_asks_for_what_is_done_anyway_changes_nothing(name: str, text: str) -> None:
    assert parse((name, text)) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("diarize", "true", "diarize is 'true', but speakers are not distinguished; allowed: false"),
        ("vad_filter", "false", "silence is always skipped; allowed: true"),
        ("beam_size", "5", "called num_beams here"),
        ("stream", "true", "only OpenAI's paths stream"),
        ("prompt", "x", "prompt is not supported here: use initial_prompt"),
        ("file_url", "http://x/y.wav", "URLs are not opened"),
    ],
)
def test_other_values_of_such_parameters_are_refused_by_name(name: str, text: str, message: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse((name, text))
    assert message in str(refused.value)
    assert refused.value.parameter == name


@pytest.mark.parametrize("name", ["initial_prompt", "language", "webhook", "suppress_tokens", "chunk_length_s"])
@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\u0000"'], ids=["half a surrogate pair", "NUL"])
def test_text_that_is_not_whole_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^{name} has .* at position") as refused:
        parse((name, text))
    assert refused.value.parameter == name
