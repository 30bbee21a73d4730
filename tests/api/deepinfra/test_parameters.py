from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from hf_asr_endpoint.api.deepinfra.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.api.deepinfra.schema import FIELDS
from hf_asr_endpoint.decoding_options import FALLBACK_TEMPERATURES, DecodingOptions, FallbackThresholds
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter
from hf_asr_endpoint.types import TranscriptionOptions

DEFAULTS = TranscriptionOptions(condition_on_previous_text=True)


def parse(*texts: tuple[str, str]) -> TranscriptionOptions:
    return parse_parameters(texts).options


def with_decoding(**changes: Any) -> TranscriptionOptions:
    return replace(DEFAULTS, decoding=DecodingOptions.from_flat(**changes))


def test_defaults_equal_those_of_the_documentation() -> None:
    assert parse_parameters([]) == ParsedParameters(options=DEFAULTS, shows_words=False, webhook=None)
    decoding = parse().decoding
    assert decoding.temperatures == FALLBACK_TEMPERATURES
    assert (decoding.beams.patience, decoding.beams.num_beams, decoding.suppress_tokens) == (1.0, 1, None)
    assert decoding.thresholds == FallbackThresholds(
        compression_ratio_threshold=2.4, logprob_threshold=-1.0, no_speech_threshold=0.6
    )
    assert (parse().task, parse().language, parse().prompt, parse().chunk_length_s) == (
        "transcribe",
        None,
        None,
        30,
    )


EXPLICIT_DEFAULTS = {
    "task": "transcribe",
    "language": None,
    "webhook": None,
    "audio_track": None,
    "temperature": 0,
    "initial_prompt": None,
    "patience": 1,
    "num_beams": 1,
    "suppress_tokens": "-1",
    "condition_on_previous_text": True,
    "temperature_increment_on_fallback": 0.2,
    "compression_ratio_threshold": 2.4,
    "logprob_threshold": -1,
    "no_speech_threshold": 0.6,
    "chunk_level": "segment",
    "chunk_length_s": 30,
}


def test_defaults_can_be_given_as_json() -> None:
    assert set(EXPLICIT_DEFAULTS) | {"audio"} == set(FIELDS)
    assert parse(*((name, json.dumps(value)) for name, value in EXPLICIT_DEFAULTS.items())) == DEFAULTS


def test_defaults_can_be_given_as_plain_text() -> None:
    """httpx and requests send None as an empty text or omit the field."""
    texts = [(name, "" if value is None else str(value)) for name, value in EXPLICIT_DEFAULTS.items()]
    assert parse(*texts) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("task", "translate", replace(DEFAULTS, task="translate")),
        ("language", "de", replace(DEFAULTS, language="de")),
        ("language", "German", replace(DEFAULTS, language="de")),
        ("initial_prompt", "Dr. Müller", replace(DEFAULTS, prompt="Dr. Müller")),
        ("condition_on_previous_text", "false", replace(DEFAULTS, condition_on_previous_text=False)),
        ("condition_on_previous_text", "False", replace(DEFAULTS, condition_on_previous_text=False)),
        ("chunk_level", "word", replace(DEFAULTS, word_timestamps=True)),
        ("chunk_length_s", "5", replace(DEFAULTS, chunk_length_s=5)),
        ("chunk_length_s", "1", replace(DEFAULTS, chunk_length_s=1)),
        ("temperature", "0.5", with_decoding(temperatures=(0.5, 0.7, 0.9))),
        ("temperature", "0.4", with_decoding(temperatures=(0.4, 0.6, 0.8, 1.0))),
        ("temperature", "1", with_decoding(temperatures=(1.0,))),
        ("temperature_increment_on_fallback", "0", with_decoding(temperatures=(0.0,))),
        ("temperature_increment_on_fallback", "null", with_decoding(temperatures=(0.0,))),
        ("temperature_increment_on_fallback", "1", with_decoding(temperatures=(0.0, 1.0))),
        ("temperature_increment_on_fallback", "0.3", with_decoding(temperatures=(0.0, 0.3, 0.6, 0.9))),
        ("num_beams", "4", with_decoding(num_beams=4)),
        ("suppress_tokens", "1,2, 30", with_decoding(suppress_tokens=(1, 2, 30))),
        ("suppress_tokens", "[1, 2]", with_decoding(suppress_tokens=(1, 2))),
        ("suppress_tokens", "7", with_decoding(suppress_tokens=(7,))),
        ("suppress_tokens", '""', with_decoding(suppress_tokens=())),
        ("suppress_tokens", "[-1]", DEFAULTS),
        ("suppress_tokens", "-1,5", with_decoding(suppress_tokens=(-1, 5))),
        ("compression_ratio_threshold", "1.5", with_decoding(compression_ratio_threshold=1.5)),
        ("compression_ratio_threshold", "null", with_decoding(compression_ratio_threshold=None)),
        ("logprob_threshold", "-0.5", with_decoding(logprob_threshold=-0.5)),
        ("logprob_threshold", "null", with_decoding(logprob_threshold=None)),
        ("no_speech_threshold", "0.9", with_decoding(no_speech_threshold=0.9)),
        ("no_speech_threshold", "null", with_decoding(no_speech_threshold=None)),
    ],
)
def test_each_field_sets_an_option(name: str, text: str, options: TranscriptionOptions) -> None:
    assert parse((name, text)) == options
    if not text.startswith(('"', "null", "[")):
        assert parse((name, json.dumps(text))) == options


@pytest.mark.parametrize(
    ("texts", "n_beams", "patience"),
    [
        ([("patience", "2"), ("num_beams", "3")], 3, 2.0),
        ([("patience", "2")], 5, 2.0),
        ([("patience", "0.5"), ("temperature", "0")], 5, 0.5),
        ([("patience", "1")], 1, 1.0),
    ],
)
def test_patience_alone_means_the_five_beams_of_whispers_default(
    texts: list[tuple[str, str]], n_beams: int, patience: float
) -> None:
    assert parse(*texts) == with_decoding(num_beams=n_beams, patience=patience)


def test_words_are_shown_at_chunk_level_word() -> None:
    assert parse_parameters([("chunk_level", '"word"')]).shows_words


def test_a_ladder_has_no_rounding_errors() -> None:
    assert parse(("temperature", "0.1"), ("temperature_increment_on_fallback", "0.1")).decoding.temperatures == (
        0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("5", "5"),
        ('"5"', "5"),
        ("true", "true"),
        ("[sic]", "[sic]"),
        ('"half', '"half'),
        ("null", None),
        ('""', None),
    ],
)
def test_a_prompt_that_looks_like_json(text: str, prompt: str | None) -> None:
    assert parse(("initial_prompt", text)).prompt == prompt


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("task", "summarize"),
        ("task", "1"),
        ("language", "klingon"),
        ("temperature", "-0.1"),
        ("temperature", "1.1"),
        ("temperature", "0.0001"),
        ("temperature", "NaN"),
        ("temperature", "hot"),
        ("temperature", "true"),
        ("temperature", "[0]"),
        ("temperature", "[" * 100_000),
        ("patience", "0"),
        ("patience", "Infinity"),
        ("patience", "11"),
        ("num_beams", "0"),
        ("num_beams", "true"),
        ("suppress_tokens", "-2"),
        ("suppress_tokens", "a,b"),
        ("suppress_tokens", "1,,2"),
        ("suppress_tokens", '{"a": 1}'),
        ("condition_on_previous_text", "maybe"),
        ("condition_on_previous_text", "2"),
        ("temperature_increment_on_fallback", "-0.2"),
        ("temperature_increment_on_fallback", "0.01"),
        ("temperature_increment_on_fallback", "1.5"),
        ("compression_ratio_threshold", "-1"),
        ("logprob_threshold", "0.5"),
        ("logprob_threshold", "-Infinity"),
        ("no_speech_threshold", "1.5"),
        ("no_speech_threshold", "false"),
        ("chunk_level", "syllable"),
        ("chunk_length_s", "0"),
        ("chunk_length_s", "31"),
        ("chunk_length_s", "1.5"),
        ("chunk_length_s", "true"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^{name} is .*; allowed: ") as refused:
        parse((name, text))
    assert refused.value.parameter == name


@pytest.mark.parametrize(
    ("texts", "parameter", "message"),
    [
        ([("patience", "2"), ("num_beams", "1")], "patience", "patience applies only to beam search"),
        ([("patience", "2"), ("temperature", "0.5")], "patience", "patience is 2 and temperature is 0.5"),
        ([("num_beams", "2"), ("temperature", "0.5")], "num_beams", "beam search needs temperature 0"),
        ([("task", "transcribe"), ("task", "transcribe")], "task", "given twice"),
        ([("task", ""), ("task", "transcribe")], "task", "given twice"),
    ],
)
def test_combinations_that_contradict_each_other_are_refused(
    texts: list[tuple[str, str]], parameter: str, message: str
) -> None:
    with pytest.raises(InvalidParameter, match=message) as refused:
        parse(*texts)
    assert refused.value.parameter == parameter


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("promt", "there is no parameter 'promt'; allowed: audio, task, language"),
        ("initial_promt", "did you mean 'initial_prompt'"),
        ("audio", "there is no parameter 'audio'; allowed"),
        ("task[]", "did you mean 'task'"),
        ("", "no parameter ''"),
    ],
)
def test_unknown_names_are_refused_with_the_allowed_names(name: str, message: str) -> None:
    with pytest.raises(UnknownParameter, match=message) as refused:
        parse((name, "x"))
    assert refused.value.parameter == name


@pytest.mark.parametrize(
    "text", ["https://example.com/hook", '"https://example.com/hook"', " https://example.com/hook\n"]
)
def test_a_webhook_does_not_change_the_options(text: str) -> None:
    parsed = parse_parameters([("webhook", text)])
    assert (parsed.webhook, parsed.options) == ("https://example.com/hook", DEFAULTS)


@pytest.mark.parametrize("text", ["", "null", '""'])
def test_an_empty_webhook_is_none(text: str) -> None:
    assert parse_parameters([("webhook", text)]).webhook is None


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in ("initial_prompt", "webhook")])
def test_a_message_does_not_repeat_a_long_value(name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"x{20}|audio") as refused:
        parse((name, "x" * 5000))
    assert len(str(refused.value)) < 1000


def test_no_field_is_accepted_and_ignored() -> None:
    """Every field changes an option."""
    given = parse(
        ("task", "translate"),
        ("language", "de"),
        ("initial_prompt", "x"),
        ("num_beams", "2"),
        ("patience", "2"),
        ("suppress_tokens", "1"),
        ("condition_on_previous_text", "false"),
        ("temperature_increment_on_fallback", "0.5"),
        ("compression_ratio_threshold", "2"),
        ("logprob_threshold", "-2"),
        ("no_speech_threshold", "0.5"),
        ("chunk_level", "word"),
        ("chunk_length_s", "10"),
    )
    decoding, defaults = given.decoding, DEFAULTS.decoding
    changed = {
        field.name
        for one, other in (
            (given, DEFAULTS),
            (decoding, defaults),
            (decoding.beams, defaults.beams),
            (decoding.thresholds, defaults.thresholds),
        )
        for field in fields(one)
        if getattr(one, field.name) != getattr(other, field.name)
    }
    assert changed == {
        *(
            "task",
            "language",
            "condition_on_previous_text",
            "prompt",
            "word_timestamps",
            "chunk_length_s",
            "decoding",
        ),
        *("temperatures", "beams", "num_beams", "patience", "suppress_tokens"),
        *("thresholds", "compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"),
    }
