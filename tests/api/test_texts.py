"""Text that every dialect refuses alike, and how messages show them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from hf_asr_endpoint.api.deepinfra.parameters import parse_parameters as parse_deepinfra
from hf_asr_endpoint.api.huggingface.parameters import parse_parameters as parse_huggingface
from hf_asr_endpoint.api.huggingface.parameters import parse_query
from hf_asr_endpoint.api.openai.parameters import parse_parameters as parse_openai
from hf_asr_endpoint.api.query import MAX_QUERY_BYTES, MAX_QUERY_FIELDS, read_query
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.api.texts import MAX_PROMPT_CHARACTERS, check_text, join_names, suggest
from hf_asr_endpoint.errors import InvalidParameter, InvalidRequest
from hf_asr_endpoint.messages import quote

LONG = "k" * 1_000_000
MAX_MESSAGE_CHARACTERS = 2_000


def openai(*texts: tuple[str, str]) -> Any:
    return parse_openai(
        [("model", "m"), *texts],
        task="transcribe",
        models=ServedModels([ServedModel(names=("m",))]),
    )


def deepinfra(*texts: tuple[str, str]) -> Any:
    return parse_deepinfra(texts)


def huggingface(*texts: tuple[str, Any]) -> Any:
    return parse_huggingface({"generation_parameters": dict(texts)})


def test_messages_show_texts_quoted_escaped_and_cut() -> None:
    assert quote("a'\n\0\ud800") == '"a\'\\n\\x00\\ud800"'
    assert quote("x" * 81) == f"'{'x' * 79}…'"
    assert join_names(["a", "b\n"]) == "['a', 'b\\n']"
    assert join_names(map(str, range(9))) == "['0', '1', '2', '3', '4', …]"


def test_names_are_cut_before_they_are_compared() -> None:
    assert suggest("languge", ["language", "task"]) == "language"
    assert suggest(LONG, ["language", "task"]) is None


@pytest.mark.parametrize("text", ["a\0", "\ud800", "b\udfff"])
def test_text_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"prompt has .* at position") as refused:
        check_text(text, name="prompt")
    assert refused.value.parameter == "prompt"
    assert check_text("é\U0001f600", name="prompt") == "é\U0001f600"


@pytest.mark.parametrize(
    ("parse", "name"),
    [
        (openai, "prompt"),
        (openai, "hotwords"),
        (openai, "keywords"),
        (deepinfra, "initial_prompt"),
        (huggingface, "prompt"),
    ],
)
def test_texts_for_the_decoder_have_a_limit(parse: Any, name: str) -> None:
    """A prompt of 30 MB took 28 s of Python's lock and 3.8 GB."""
    parse((name, "x" * MAX_PROMPT_CHARACTERS))
    with pytest.raises(InvalidParameter, match=f"{name} is .*; allowed: .*10000 characters"):
        parse((name, "x" * (MAX_PROMPT_CHARACTERS + 1)))


@pytest.mark.parametrize("text", ["a\0", "\ud800"])
def test_the_handlers_prompt_is_whole_too(text: str) -> None:
    """handler.py passes Python values, which no body parser has checked."""
    with pytest.raises(InvalidParameter, match="prompt is"):
        huggingface(("prompt", text))


def test_keywords_have_a_limit_together() -> None:
    with pytest.raises(InvalidParameter, match="keywords has 1001 items; allowed: 1000 items"):
        openai(*[("keywords[]", "a")] * 1_001)
    with pytest.raises(InvalidParameter, match=r"keywords is .*10000 characters together"):
        openai(*[("keywords[]", "a" * 100)] * 101)


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (openai, [(LONG, "x")]),
        (openai, [("timestamp_granularities[]", LONG)]),
        (openai, [("timestamp_granularities", ",".join(["x"] * 900))]),
        (openai, [("response_format", LONG)]),
        (openai, [("model", LONG)]),
        (openai, [("chunking_strategy", "{" + LONG)]),
        (deepinfra, [(LONG, "x")]),
        (deepinfra, [("task", LONG)]),
        (deepinfra, [("suppress_tokens", LONG)]),
        (huggingface, [(LONG, 1)]),
        (huggingface, [(f"{LONG}{index}", 1) for index in range(30)]),
        (huggingface, [("task", LONG)]),
        (huggingface, [("suppress_tokens", [""] * 10_000)]),
    ],
)
def test_messages_stay_short(parse: Any, texts: list[tuple[str, Any]]) -> None:
    """31 MB of unknown keys gave an answer of 293 MB."""
    with pytest.raises(InvalidRequest) as refused:
        parse(*texts)
    assert len(str(refused.value)) < MAX_MESSAGE_CHARACTERS


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (openai, [("seed", "1_0")]),
        (openai, [("temperature", "0.1_0")]),
        (openai, [("chunking_strategy", '{"type": "server_vad", "silence_duration_ms": true}')]),
        (openai, [("chunking_strategy", '{"type": "server_vad", "threshold": "0_1"}')]),
        (deepinfra, [("num_beams", "1_0")]),
        (deepinfra, [("temperature", "true")]),
        (lambda *query: parse_query(query), [("num_beams", "1_0")]),
        (lambda *query: parse_query(query), [("temperature", "0_1")]),
        (huggingface, [("num_beams", True)]),
    ],
)
def test_spellings_of_numbers_that_only_python_accepts_are_refused(
    parse: Any, texts: list[tuple[str, Any]]
) -> None:
    with pytest.raises(InvalidParameter, match="; allowed: "):
        parse(*texts)


def test_a_key_twice_inside_a_parameter_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="given twice"):
        openai(("chunking_strategy", '{"type": "server_vad", "threshold": 0.1, "threshold": 0.2}'))


@pytest.mark.parametrize("ok", [" 10 ", "+1", "7.0", "007"])
def test_numbers_as_clients_write_them(ok: str) -> None:
    assert openai(("seed", ok)).options.decoding.seed == int(float(ok))


def query_of(text: str) -> list[tuple[str, str]]:
    return read_query(Request({"type": "http", "query_string": text.encode(), "headers": []}))


def test_a_query_string_is_read_in_its_order() -> None:
    assert query_of("a=1&b=%C3%A9&a=") == [("a", "1"), ("b", "é"), ("a", "")]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("a=" + "x" * MAX_QUERY_BYTES, "16386 bytes"),
        ("&".join(["a=1"] * (MAX_QUERY_FIELDS + 1)), "101 fields"),
        ("a=%00", "a has a NUL character"),
    ],
)
def test_a_query_string_is_refused(query: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        query_of(query)
