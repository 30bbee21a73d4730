"""JSON bodies against `json.loads` and `base64`, whatever they hold and however they arrive."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_asr_endpoint.api.json_body import JsonLimits, JsonParser
from hf_asr_endpoint.api.spool import SPOOL_BYTES
from hf_asr_endpoint.audio.source import EncodedAudio
from hf_asr_endpoint.errors import AsrError, BodyTooLarge, InvalidParameter, InvalidRequest

MAX_AUDIO_BYTES = 8_000_000
BLOCK_BYTES = 2**17


def parse(content: bytes, *, splits: Sequence[int] = (), accepts_samples: bool = True) -> Any:
    """Return the document of a body that arrives in blocks which end at `splits`, with base64 as bytes."""
    parser = JsonParser(
        audio_paths=(("inputs",),),
        accepts_samples=accepts_samples,
        max_audio_bytes=MAX_AUDIO_BYTES,
        limits=JsonLimits(),
    )
    ends = sorted({min(split, len(content)) for split in splits} | {len(content)})
    begin = 0
    try:
        for end in ends:
            parser.feed(content[begin:end])
            begin = end
        document = parser.finish().document
        if isinstance(document, dict) and isinstance(audio := document.get("inputs"), EncodedAudio):
            document["inputs"] = audio.file.read()
        return document
    finally:
        parser.close()


def every(step: int, content: bytes) -> range:
    """Return where blocks of `step` bytes end."""
    return range(step, len(content), step)


SPLITS = st.lists(st.integers(0, 400), max_size=12)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS.filter(lambda key: key != "inputs"), VALUES, max_size=5), SPLITS, st.booleans())
def test_a_document_without_audio_is_what_json_loads_returns(
    document: dict[str, Any], splits: list[int], is_ascii: bool
) -> None:
    content = json.dumps(document, ensure_ascii=is_ascii, indent=1 if is_ascii else None).encode()
    assert parse(content, splits=splits) == json.loads(content)


def escape(text: str, marks: Sequence[int]) -> str:
    r"""Spell some characters of a text as \u…, and slashes as \/."""
    spelled = [
        f"\\u{ord(char):04X}" if mark == 1 else "\\/" if char == "/" and mark == 2 else char
        for char, mark in zip(text, marks, strict=True)
    ]
    return "".join(spelled)


@given(st.binary(min_size=1, max_size=200), VALUES, SPLITS, st.data())
def test_base64_comes_out_decoded_from_between_other_values(
    audio: bytes, other: Any, splits: list[int], data: st.DataObject
) -> None:
    text = base64.b64encode(audio).decode()
    position = data.draw(st.integers(0, len(text)))
    blanks = data.draw(st.sampled_from(["", " ", "\\n", "\\r\\n", "\\u0020", "\\t "]))
    marks = data.draw(st.lists(st.integers(0, 5), min_size=len(text), max_size=len(text)))
    spelled = escape(text[:position], marks[:position]) + blanks + escape(text[position:], marks[position:])
    prefix = data.draw(st.sampled_from(["", "data:;base64,", "data:audio\\/wav;base64,"]))
    content = f'{{"a": {json.dumps(other)}, "inputs" :\n"{prefix}{spelled}", "b": [null, "inputs"]}}'.encode()
    assert parse(content, splits=splits) == {"a": other, "inputs": audio, "b": [None, "inputs"]}


@given(st.text(st.sampled_from("QUJDw+/= \n-"), max_size=24), SPLITS)
def test_base64_is_accepted_exactly_when_the_standard_library_accepts_it(text: str, splits: list[int]) -> None:
    try:
        expected = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        expected = b""
    content = json.dumps({"inputs": text}).encode()
    if expected:
        assert parse(content, splits=splits) == {"inputs": expected}
    else:
        with pytest.raises(InvalidRequest, match="inputs is"):
            parse(content, splits=splits)


NUMBERS = st.integers(-8, 8) | st.floats(-8, 8)


@given(
    st.lists(NUMBERS, max_size=40)
    | st.integers(0, 12).flatmap(
        lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=1, max_size=4)
    ),
    SPLITS,
    st.sampled_from([None, 1]),
)
def test_samples_are_what_numpy_makes_of_them(array: Any, splits: list[int], indent: int | None) -> None:
    content = json.dumps({"inputs": {"array": array, "sampling_rate": 8_000}}, indent=indent).encode()
    document = parse(content, splits=splits)
    expected = np.array(array, np.float64).astype(np.float32)
    assert document == {"inputs": {"array": document["inputs"]["array"], "sampling_rate": 8_000}}
    assert document["inputs"]["array"].dtype == np.float32
    np.testing.assert_array_equal(document["inputs"]["array"], expected)


@given(st.text(st.sampled_from('{}[]:,"\\ eE.-+01ntrue\x00é'), max_size=40), SPLITS)
def test_arbitrary_text_is_parsed_as_by_json_loads_or_refused(text: str, splits: list[int]) -> None:
    content = b"{" + text.encode() + b"}"
    try:
        expected = json.loads(content)
    except ValueError:
        with pytest.raises(AsrError):
            parse(content, splits=splits)
        return
    if len(set(keys := re.findall(r'"([^"]*)":', text))) < len(keys):
        return  # A key may be given twice, which `json.loads` accepts.
    assert repr(parse(content, splits=splits)) == repr(expected)


DOCUMENT = b'{"a": [1, "\\u00e9\\"", null], "inputs": "UklGR\\u0067==", "parameters": {"x": {"inputs": "no"}}}'


@pytest.mark.parametrize("step", [1, 2, 3, 5, 8, BLOCK_BYTES])
def test_blocks_may_end_anywhere(step: int) -> None:
    assert parse(DOCUMENT, splits=every(step, DOCUMENT)) == {
        "a": [1, 'é"', None],
        "inputs": b"RIFF",
        "parameters": {"x": {"inputs": "no"}},
    }


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\r\n\t "], ids=["none", "byte order mark", "blanks"])
def test_blanks_or_a_byte_order_mark_may_precede_the_document(start: bytes) -> None:
    content = start + b'{"inputs": "UklGRg=="} \n'
    assert parse(content, splits=every(1, content)) == {"inputs": b"RIFF"}


@pytest.mark.parametrize("content", [b"[1, 2]", b'"text"', b"[]"])
def test_other_documents_than_objects(content: bytes) -> None:
    assert parse(content) == json.loads(content)


@pytest.mark.parametrize("value", [None, 5, True, ["UklGRg=="], {"a": "UklGRg=="}], ids=str)
def test_an_audio_value_of_another_type_stays_in_the_document(value: Any) -> None:
    assert parse(json.dumps({"inputs": value}).encode()) == {"inputs": value}


def test_samples_stay_in_the_document_where_they_are_not_accepted() -> None:
    document = {"inputs": {"array": [0.5, 1], "sampling_rate": 1}}
    assert parse(json.dumps(document).encode(), accepts_samples=False) == document


@pytest.mark.parametrize("n_samples", [SPOOL_BYTES // 4, SPOOL_BYTES // 4 + 1])
def test_many_samples_outlive_their_file(n_samples: int) -> None:
    content = json.dumps({"inputs": {"array": [n % 16 / 8 for n in range(n_samples)]}}).encode()
    array = parse(content, splits=every(BLOCK_BYTES, content))["inputs"]["array"]
    assert array.shape == (n_samples,)
    np.testing.assert_array_equal(array, np.arange(n_samples) % 16 / 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"{", "begins like JSON", id="broken off"),
        pytest.param(b'{"inputs": "UklG', "breaks off", id="broken off in the audio"),
        pytest.param(b'{"inputs": "UklG\\u00', "breaks off", id="broken off in an escape"),
        pytest.param(b'{"inputs": {"array": [1, 2', "breaks off", id="broken off in the samples"),
        pytest.param(b'{"inputs": "Uk\\xlG"}', "begins like JSON", id="a bad escape in the audio"),
        pytest.param(b'{"a": "Uk\nlG"}', "begins like JSON", id="a line break in a string"),
        pytest.param(b'{"inputs": "Uk\nlG"}', "begins like JSON", id="a line break in the audio"),
        pytest.param(b'{"inputs": "UklGRg==" 1}', "begins like JSON", id="garbage after the audio"),
        pytest.param(b'{"a": "\xff"}', "begins like JSON", id="not UTF-8"),
        pytest.param(b'{"\xff\\n": 1}', "begins like JSON", id="a key that is not UTF-8"),
        pytest.param(b'{"a": 1' + b"0" * 5_000 + b"}", "begins like JSON", id="a number of 5,000 digits"),
        pytest.param(b"{}\x00", "begins like JSON", id="NUL after the end"),
        pytest.param('{"inputs": "AAAA"}'.encode("utf-16"), "begins like JSON", id="UTF-16"),
        pytest.param(b'{"inputs": "UklGRg==", "inputs": "UklGRg=="}', "inputs is given twice", id="audio twice"),
        pytest.param(b'{"inputs": 1, "inputs": "UklGRg=="}', "inputs is given twice", id="one is a number"),
        pytest.param(
            b'{"inputs": {"array": [1], "array": [1]}}', "inputs.array is given twice", id="samples twice"
        ),
        pytest.param(b'{"inputs": "UklGRg==", "a": {"b": [{"c": 1, "c": 1}]}}', "c is given twice", id="deeper"),
        pytest.param(b'{"a": ["\\ud800"]}', "a has half of a surrogate pair", id="half a surrogate pair"),
        pytest.param(b'{"a": {"b": "x\\u0000"}}', "b has a NUL character", id="NUL"),
        pytest.param(b'{"a": [' + b"0," * 1_000 + b"0]}", "more than 1000 values", id="many values"),
        pytest.param(b'{"a": ' + b"[" * 20 + b"]" * 20 + b"}", "nested more than 20 deep", id="deep"),
        pytest.param(b'{"a": "' + b"x" * 66_000 + b'"}', "65536 bytes outside the audio", id="a long text"),
        pytest.param(b'{"' + b"x" * 66_000 + b'": 1}', "65536 bytes outside the audio", id="a long key"),
        pytest.param(b'{"a": 1' + b"0" * 66_000 + b"}", "65536 bytes outside the audio", id="a long number"),
        pytest.param(b"{" + b" " * 66_000 + b"}", "65536 bytes outside the audio", id="blanks"),
        pytest.param(b'{"inputs": "data:' + b"x" * 66_000 + b'"}', "without a comma", id="data URL without comma"),
        pytest.param(b'{"inputs": "AAA=' + b" " * 66_000 + b'="}', "which is not valid base64", id="late padding"),
        pytest.param(b'{"inputs": "AAA=' + b"=" * 66_000 + b'"}', "data after the padding", id="all padding"),
        pytest.param(b'{"inputs": "https:\\/\\/x.org\\/a.wav"}', "URLs are not opened", id="URL"),
        pytest.param(b'{"inputs": "data:,x"}', "without ;base64", id="data URL not in base64"),
        pytest.param(b'{"inputs": ""}', "inputs is empty", id="empty"),
    ],
)
@pytest.mark.parametrize("step", [1_000, BLOCK_BYTES])
def test_bad_bodies_are_refused(content: bytes, message: str, step: int) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        parse(content, splits=every(step, content))
    assert "allowed: " in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("array", "message"),
    [
        *((f"[{item}]", "is not a number") for item in ('"1"', "true", "null", "NaN", "Infinity", "{}", "'", "é")),
        *(
            (f"[{item}]", "is not a list of numbers")
            for item in ("1 2", "01", "+1", ".5", "1.", "1e", "-", "1.2.3")
        ),
        *((array, "is not a list of numbers") for array in ("[,1]", "[1,,2]", "[1,]", "[1, ]", "[,]", "[[1,]]")),
        ("[1, [2]]", "is not a number"),
        ("[[1], 2]", "beside a channel"),
        ("[[1], [1, 2]]", "is ragged: its channels have 1 to 2 samples"),
        ("[[1] 2]", "after a channel"),
        ("[[1],]", "beside a channel"),
        ("[[[1]]]", "is not a number"),
        ("[" + "[0]," * 64 + "[0]]", "more than 64 channels"),
        ("[" + "[]," * 100_000 + "[]]", "more than 64 channels"),
        ("[0.1, 9000]", "has values up to 9000"),
        ("[-9000]", "has values up to 9000"),
        ("[1e999]", "has values up to inf"),
        ("[1" + "0" * 400 + "]", "not a list of numbers"),
        ("[" + "0" * 70_000 + "]", "a number of more than 1000 characters|not a list of numbers"),
    ],
)
@pytest.mark.parametrize("step", [3, BLOCK_BYTES])
def test_bad_samples_are_refused_by_name(array: str, message: str, step: int) -> None:
    content = f'{{"inputs": {{"array": {array}, "sampling_rate": 1}}}}'.encode()
    with pytest.raises(InvalidParameter, match=message) as refused:
        parse(content, splits=every(step, content[:20_000]))
    assert str(refused.value).startswith("inputs.array ")
    assert len(str(refused.value)) < 300


def test_audio_over_the_limit_is_refused_however_it_is_spelled() -> None:
    too_much = base64.b64encode(bytes(MAX_AUDIO_BYTES + 1)).decode()
    with pytest.raises(BodyTooLarge, match="inputs holds 8000001 bytes of audio or more; allowed: 8000000 bytes"):
        parse(json.dumps({"inputs": too_much}).encode())
    too_many = b'{"inputs": {"array": [' + b"0," * (MAX_AUDIO_BYTES // 4) + b"0]}}"
    with pytest.raises(BodyTooLarge, match=r"inputs\.array holds 8000004 bytes"):
        parse(too_many)
