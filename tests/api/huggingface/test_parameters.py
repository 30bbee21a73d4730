from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from hf_asr_endpoint.api.huggingface.parameters import parse_parameters, parse_query
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import TranscriptionOptions

SCHEMA_KEYS = {
    *("do_sample", "early_stopping", "epsilon_cutoff", "eta_cutoff", "max_length", "max_new_tokens"),
    *("min_length", "min_new_tokens", "num_beam_groups", "num_beams", "penalty_alpha", "temperature"),
    *("top_k", "top_p", "typical_p", "use_cache"),
}


def test_all_keys_of_the_task_are_known() -> None:
    assert set(GenerationParameters.model_fields) >= SCHEMA_KEYS


BOUNDED = {
    name: field
    for name, field in GenerationParameters.model_fields.items()
    if any(isinstance(part, annotated_types.Ge | annotated_types.Gt) for part in field.metadata)
    or any(isinstance(part, annotated_types.Le | annotated_types.Lt) for part in field.metadata)
}


def bounds_of(field: FieldInfo) -> Iterator[tuple[float, float]]:
    """Yield each bound as descriptions name it, with the closest number that is not allowed."""
    step = 1 if field.annotation == int | None else 0.1
    for part in field.metadata:
        match part:
            case annotated_types.Ge(ge):
                yield ge, ge - step
            case annotated_types.Gt(gt):
                yield (gt + 1 if step == 1 else gt), gt
            case annotated_types.Le(le):
                yield le, le + step
            case annotated_types.Lt(lt):
                yield lt, lt


@pytest.mark.parametrize("name", sorted(BOUNDED))
def test_a_description_names_the_bounds_that_are_checked(name: str) -> None:
    numbers = {float(number) for number in re.findall(r"-?[0-9.]*[0-9]", BOUNDED[name].description or "")}
    assert {float(bound) for bound, _ in bounds_of(BOUNDED[name])} <= numbers


@pytest.mark.parametrize("parameters", [None, {}, {"generation_parameters": {}}, {"generation_parameters": None}])
def test_absent_parameters_are_the_defaults(parameters: object) -> None:
    parsed = parse_parameters(parameters)
    assert parsed.options == TranscriptionOptions()
    assert parsed.return_timestamps is False


def test_null_is_the_default() -> None:
    everything = dict.fromkeys(GenerationParameters.model_fields)
    assert parse_parameters({"generation_parameters": everything}).options == TranscriptionOptions()


def test_return_timestamps() -> None:
    assert parse_parameters({"return_timestamps": True}).return_timestamps is True


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"language": "German", "task": "translate"}, id="next to generation_parameters"),
        pytest.param(
            {"generation_parameters": {"language": "de", "task": "translate"}}, id="in generation_parameters"
        ),
        pytest.param({"language": "de", "generate_kwargs": {"task": "translate"}}, id="the toolkit's name"),
        pytest.param({"language": "<|de|>", "generation_parameters": {"task": "translate"}}, id="token"),
    ],
)
def test_language_and_task(parameters: dict[str, Any]) -> None:
    options = parse_parameters(parameters).options
    assert (options.language, options.task) == ("de", "translate")


BAD_VALUES = [
    ("do_sample", "perhaps"),
    ("do_sample", 2),
    ("early_stopping", "always"),
    ("early_stopping", 3),
    ("eta_cutoff", "0.1.2"),
    ("max_new_tokens", 10.5),
    ("num_beams", "2 or 3"),
    ("num_beams", "1_0"),
    ("num_beams", True),
    ("penalty_alpha", "much"),
    ("temperature", -0.1),
    ("temperature", 1e-9),
    ("temperature", 1e9),
    ("temperature", float("nan")),
    ("temperature", float("inf")),
    ("temperature", "0.2 to 0.4"),
    ("temperature", [0.2, 0.4]),
    ("temperature", [-1]),
    ("top_k", 2.5),
    ("use_cache", "sometimes"),
    ("condition_on_prev_tokens", 7),
    ("return_timestamps", "sentence"),
    ("prompt", ["a"]),
    ("suppress_tokens", 5),
    ("suppress_tokens", ["five"]),
    ("suppress_tokens", [1.5]),
    ("task", "summarise"),
    ("language", 5),
    *((name, beyond) for name, field in BOUNDED.items() for _, beyond in bounds_of(field)),
]


@pytest.mark.parametrize(("key", "value"), BAD_VALUES)
def test_a_bad_value_is_refused_with_the_value_and_what_is_allowed(key: str, value: object) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_parameters({"generation_parameters": {key: value}})
    message = str(refused.value)
    assert message.startswith(f"parameters.generation_parameters.{key} is ")
    assert message.count(f".{key} is ") == 1
    assert f"allowed: {GenerationParameters.model_fields[key].description}" in message


@pytest.mark.parametrize("key", sorted(GenerationParameters.model_fields))
def test_each_key_has_a_value_that_is_refused(key: str) -> None:
    assert key in dict(BAD_VALUES)


def test_neutral_values_equal_the_defaults() -> None:
    parameters = {
        "num_beam_groups": 1,
        "diversity_penalty": 0.0,
        "penalty_alpha": 0.0,
        "length_penalty": 1.0,
        "patience": 1.0,
        "early_stopping": False,
        "best_of": 1,
        "seed": 0,
        "suppress_tokens": "-1",
        "condition_on_prev_tokens": False,
    }
    options = parse_parameters({"generation_parameters": parameters}).options
    assert options == TranscriptionOptions(decoding=DecodingOptions.from_flat(diversity_penalty=0.0))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param({"chunk_length": 30}, "did you mean 'chunk_length_s'", id="unknown"),
        pytest.param({"num_beams": "two"}, 'parameters.num_beams is "two"', id="at the outer level"),
        pytest.param(
            {"num_beams": 3, "generation_parameters": {"num_beams": 2}},
            "num_beams is 3 in parameters",
            id="at both",
        ),
        pytest.param(
            {"return_timestamps": True, "generation_parameters": {"return_timestamps": "word"}},
            "return_timestamps is True in parameters and 'word' in",
            id="times at both",
        ),
        pytest.param({"generation_parameters": {"chunk_length_s": 5}}, "it belongs in parameters", id="inside"),
        pytest.param({"generation_parameters": {"num_beam": 2}}, "did you mean 'num_beams'", id="misspelt"),
        pytest.param(
            {"generation_parameters": {"condition_on_previous_text": True}},
            "condition_on_previous_text is True, but it is called condition_on_prev_tokens here",
            id="openai/whisper's name",
        ),
        pytest.param({"generation_parameters": {"beam_size": 2}}, "called num_beams here", id="faster-whisper's"),
        pytest.param(
            {"generation_parameters": {"no_repeat_ngram_size": 2}},
            "no_repeat_ngram_size is 2, but text that repeats itself is decoded again instead; allowed: 0",
            id="transformers'",
        ),
        pytest.param(
            {"generation_parameters": {"suppress_tokens": "a,b"}}, "suppress_tokens is 'a,b'", id="not ids"
        ),
        pytest.param({"generation_parameters": [1]}, "allowed: an object", id="not an object"),
        pytest.param({"\ud800": 1}, "parameters cannot be read", id="half a surrogate pair"),
        pytest.param([1], "parameters is [1]; allowed: an object", id="list"),
        pytest.param("x" * 500, "allowed: an object", id="long text"),
        pytest.param({"language": "Klingon"}, "language is 'Klingon'", id="language"),
        pytest.param({"language": "ga-IE"}, "which is Irish", id="a language that no model has"),
        pytest.param(
            {"language": "de", "generation_parameters": {"language": "fr"}},
            "'de' in parameters",
            id="two languages",
        ),
        pytest.param(
            {"generation_parameters": {}, "generate_kwargs": {}}, "mean the same", id="two names for the same"
        ),
        pytest.param(
            {"return_timestamps": 3, "generation_parameters": {"top_k": "a"}}, "return_timestamps is 3", id="two"
        ),
    ],
)
def test_bad_parameters_are_refused(parameters: object, message: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_parameters(parameters)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_a_query_string_has_the_same_keys_on_one_level() -> None:
    parsed = parse_query([("return_timestamps", "true"), ("language", "fr"), ("max_new_tokens", "20")])
    assert parsed.return_timestamps is True
    assert parsed.options.language == "fr"
    assert parsed.options.decoding.lengths.max_new_tokens == 20


def test_extensions_set_their_options() -> None:
    parameters = {
        "prompt": "Glossary: Ithaca",
        "condition_on_prev_tokens": True,
        "num_beams": 4,
        "num_beam_groups": 2,
        "diversity_penalty": 0.8,
        "length_penalty": -0.5,
        "patience": 2.0,
        "best_of": 3,
        "seed": 11,
        "compression_ratio_threshold": 1.35,
        "logprob_threshold": -0.5,
        "no_speech_threshold": 0.3,
        "suppress_tokens": [7, -1],
    }
    options = parse_parameters({"generation_parameters": parameters}).options
    assert options == TranscriptionOptions(
        prompt="Glossary: Ithaca",
        condition_on_previous_text=True,
        decoding=DecodingOptions.from_flat(
            num_beams=4,
            num_beam_groups=2,
            diversity_penalty=0.8,
            length_penalty=-0.5,
            patience=2.0,
            best_of=3,
            seed=11,
            compression_ratio_threshold=1.35,
            logprob_threshold=-0.5,
            no_speech_threshold=0.3,
            suppress_tokens=(7, -1),
        ),
    )


@pytest.mark.parametrize(
    ("given", "tokens"),
    [("-1", None), ([-1], None), ("", ()), ([], ()), ("5,6", (5, 6)), ([5, 6], (5, 6)), ("-1,5", (-1, 5))],
)
def test_suppress_tokens_as_text_and_as_a_list(given: object, tokens: tuple[int, ...] | None) -> None:
    parsed = parse_parameters({"generation_parameters": {"suppress_tokens": given}})
    assert parsed.options.decoding.suppress_tokens == tokens
    if isinstance(given, str):
        assert parse_query([("suppress_tokens", given)]).options.decoding.suppress_tokens == tokens


@pytest.mark.parametrize(("text", "value"), [("never", "never"), ("true", True), ("false", False)])
def test_early_stopping_in_a_query_string(text: str, value: object) -> None:
    items = [("early_stopping", text), ("num_beams", "2")]
    assert parse_query(items).options.decoding.beams.early_stopping == value


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([("num_beams", "two")], 'num_beams is "two"'),
        ([("beams", "2")], "unknown key 'beams'"),
        ([("task", "translate"), ("task", "transcribe")], "task is given twice"),
        ([("num_beams", "2"), ("num_beams", "2")], "num_beams is given twice"),
        ([("generation_parameters", '{"num_beams": 2}')], "generation_parameters is"),
    ],
)
def test_a_bad_query_string_is_refused(items: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_query(items)
    assert message in str(refused.value)
