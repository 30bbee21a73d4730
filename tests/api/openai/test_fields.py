from __future__ import annotations

from typing import Any

import pytest

from hf_asr_endpoint.api.openai.fields import collect_fields
from hf_asr_endpoint.api.openai.fixed import fixed_parameters
from hf_asr_endpoint.api.openai.schema import PARAMETERS
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter, UnsupportedParameter


def collect(*texts: tuple[str, str]) -> dict[str, Any]:
    return collect_fields(texts, allowed=PARAMETERS, fixed=fixed_parameters("transcribe"))


@pytest.mark.parametrize(
    "endings",
    [
        pytest.param([("[]", "word"), ("[]", "segment")], id="brackets"),
        pytest.param([("", "word"), ("", "segment")], id="repeated"),
        pytest.param([("[0]", "word"), ("[1]", "segment")], id="numbered"),
        pytest.param([("", "word,segment")], id="commas"),
        pytest.param([("[]", " word, segment ,")], id="commas and spaces"),
        pytest.param([("", '["word", "segment"]')], id="JSON"),
        pytest.param([("", "['word', 'segment']")], id="Python"),
        pytest.param([("[]", '"word"'), ("[]", '"segment"')], id="quotes"),
        pytest.param([("", '["word", null, "segment", ""]')], id="nulls"),
        pytest.param([("", "null"), ("", "word"), ("", "segment")], id="a null among them"),
        pytest.param([("[]", '["word"]'), ("", "segment")], id="a mixture"),
    ],
)
def test_a_list_in_each_of_its_spellings(endings: list[tuple[str, str]]) -> None:
    texts = [(f"timestamp_granularities{ending}", text) for ending, text in endings]
    assert collect(*texts) == {"timestamp_granularities": ["word", "segment"]}


def test_keywords_may_have_commas_and_brackets() -> None:
    assert collect(("keywords[]", "Smith, John"), ("keywords[]", "[sic]"), ("keywords", '["a", "b"]')) == {
        "keywords": ["Smith, John", "[sic]", "a", "b"]
    }


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(
            [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "0.3")], id="nested"
        ),
        pytest.param([("chunking_strategy", ' {"type": "server_vad", "threshold": "0.3"}')], id="JSON"),
    ],
)
def test_an_object_in_each_of_its_spellings(texts: list[tuple[str, str]]) -> None:
    assert collect(*texts) == {"chunking_strategy": {"type": "server_vad", "threshold": "0.3"}}


def test_an_empty_text_means_an_absent_parameter() -> None:
    """OpenAI's client writes None so, and many pages send all their fields."""
    assert collect(("language", ""), ("prompt", " "), ("timestamp_granularities[]", ""), ("model", "x")) == {
        "model": "x"
    }


@pytest.mark.parametrize(
    ("names", "parameter"),
    [
        (("model", "model"), "model"),
        (("chunking_strategy[type]", "chunking_strategy[type]"), "chunking_strategy"),
        (("chunking_strategy", "chunking_strategy[type]"), "chunking_strategy"),
        (("chunking_strategy[type]", "chunking_strategy"), "chunking_strategy"),
    ],
)
def test_parameters_given_twice_are_refused(names: tuple[str, str], parameter: str) -> None:
    with pytest.raises(InvalidParameter, match="given twice") as refused:
        collect(*((name, "x") for name in names))
    assert refused.value.parameter == parameter


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("languge", "did you mean 'language'"),
        ("model[]", "no parameter 'model\\[\\]'"),
        ("prompt[x]", "no parameter 'prompt\\[x\\]'"),
        ("include[x]", "no parameter"),
        ("include[0][x]", "no parameter"),
        ("chunking_strategy[]", "no parameter"),
        ("", "allowed: file, model, language"),
    ],
)
def test_unknown_names_are_refused_naming_the_allowed(name: str, message: str) -> None:
    with pytest.raises(UnknownParameter, match=message) as refused:
        collect((name, "x"))
    assert refused.value.parameter == name


@pytest.mark.parametrize("name", ["known_speaker_names[]", "known_speaker_references", "file_url", "webhook"])
def test_unsupported_parameters_of_openai_are_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedParameter, match="is not supported here") as refused:
        collect((name, "x"))
    assert refused.value.parameter == name.removesuffix("[]")


@pytest.mark.parametrize(("name", "text"), [("include", "[logprobs"), ("chunking_strategy", "{type")])
def test_broken_json_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match="begins like JSON") as refused:
        collect((name, text))
    assert refused.value.parameter == name
