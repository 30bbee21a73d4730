"""Bodies built to cost much for little, at sizes that tell: refused early, or parsed in little memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import repeat
from typing import Any

import pytest
from starlette.requests import Request

from hf_asr_endpoint.api.body import BLOCK_BYTES
from hf_asr_endpoint.api.body_parser import AcceptedBodies, Body, BodyLimits, BodyParser, RawBody
from hf_asr_endpoint.api.deepinfra import request as deepinfra
from hf_asr_endpoint.api.huggingface import routes as huggingface
from hf_asr_endpoint.errors import BodyTooLarge, InvalidRequest

MAX_AUDIO_BYTES = 18_000_000
MAX_PEAK_BYTES = 6 * 2**20
"""What a file keeps in memory, and what a block of 128 KiB becomes: most where numbers are short."""

FORM = AcceptedBodies(audio_field="file", form=True)
LIMITS = BodyLimits(max_audio_bytes=MAX_AUDIO_BYTES)


def parse(content: Iterable[bytes], accepted: AcceptedBodies, **headers: str) -> Body:
    """Parse a body whose pieces arrive one after the other. Its files are closed."""
    names = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    parser = BodyParser(Request({"type": "http", "headers": names}), LIMITS, accepted)
    with closing(parser):
        for piece in content:
            parser.take(piece)
        return parser.finish(b"")


def around(begin: bytes, middle: bytes, end: bytes, *, n_bytes: int = 8_000_000) -> Iterator[bytes]:
    """Yield a body of about `n_bytes` in blocks, without holding it: the middle again and again."""
    block = middle * (BLOCK_BYTES // len(middle))
    yield begin
    yield from repeat(block, n_bytes // len(block))
    yield end


REFUSED = {
    "many texts in a list": (around(b'{"inputs": "AAAA", "a": [""', b', ""', b"]}"), "65536 bytes|1000 values"),
    "a long prompt": (around(b'{"inputs": "AAAA", "prompt": "', b"x", b'"}'), "65536 bytes"),
    "many lists": (around(b'{"inputs": "AAAA", "a": [[]', b",[]", b"]}"), "65536 bytes|1000 values"),
    "a list for the audio": (around(b'{"inputs": [0', b",0", b"]}"), "65536 bytes|1000 values"),
    "lists for samples": (around(b'{"inputs": {"array": [[]', b",[]", b"]}}"), "64 channels"),
    "long keys": (around(b'{"inputs": "AAAA", "', b"k", b'": 1}'), "65536 bytes"),
    "many keys": (
        iter([json.dumps({str(key): 0 for key in range(30_000)}).encode()]),
        "65536 bytes|1000 values",
    ),
    "blanks": (around(b"{", b" ", b"}"), "65536 bytes"),
    "data: without a comma": (around(b'{"inputs": "data:', b"A", b'"}'), "without a comma"),
    "padding": (around(b'{"inputs": "AAAA', b"=", b'"}'), "not valid base64"),
    "one number": (around(b'{"inputs": {"array": [', b"0", b"]}}"), "more than 1000 characters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_json_without_bounds_is_refused_early(name: str) -> None:
    content, message = REFUSED[name]
    with pytest.raises(InvalidRequest, match=message) as refused:
        parse(content, huggingface.ACCEPTED)
    assert len(str(refused.value)) < 400
    assert sum(map(len, content)) > 0 or name == "many keys", "it was not read to its end"


PARSED = {
    "base64": (around(b'{"inputs": "', b"AAAA", b'"}'), huggingface.ACCEPTED),
    "base64 with blanks": (around(b'{"inputs": "AAAA', b" ", b'"}'), huggingface.ACCEPTED),
    "base64 in escapes": (around(b'{"inputs": "', b"\\u0041\\u0041\\u002b\\/", b'"}'), huggingface.ACCEPTED),
    "short numbers": (around(b'{"inputs": {"array": [0', b",0", b"]}}", n_bytes=1_500_000), huggingface.ACCEPTED),
    "long numbers": (
        around(b'{"inputs": {"array": [0', b",0.1234567890123456789", b"]}}", n_bytes=4_000_000),
        huggingface.ACCEPTED,
    ),
    "blanks between numbers": (around(b'{"inputs": {"array": [0,', b" ", b"0]}}"), huggingface.ACCEPTED),
    "a file in a form": (
        around(b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n', b"\r\n--", b"\r\n--x--\r\n"),
        FORM,
    ),
    "base64 in a form": (
        around(b'--x\r\nContent-Disposition: form-data; name="audio"\r\n\r\n', b"AA\r\nAA ", b"\r\n--x--\r\n"),
        deepinfra.ACCEPTED,
    ),
    "what follows a form": (around(b"--x--\r\n", b"\r\n--x\r\n", b""), FORM),
    "raw bytes": (around(b"RIFF", b"\0", b""), huggingface.ACCEPTED),
}


@pytest.mark.parametrize("name", PARSED)
def test_a_large_body_is_parsed_in_little_memory(name: str) -> None:
    content, accepted = PARSED[name]
    tracemalloc.start()
    try:
        parse(content, accepted, content_type="multipart/form-data; boundary=x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MAX_PEAK_BYTES


def form_of(texts: Iterable[tuple[str, str]]) -> bytes:
    parts = (f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in texts)
    return "".join(parts).encode() + b"--x--\r\n"


def test_the_texts_of_a_form_have_a_limit_together() -> None:
    """197 keywords of 64 KB held the event loop for ten seconds and took 2 GB."""
    content = form_of([("keywords[]", "k" * 65_536)] * 5)
    with pytest.raises(InvalidRequest, match="more than 262144 bytes together"):
        parse([content], FORM, content_type="multipart/form-data; boundary=x")


@pytest.mark.parametrize(
    "document",
    [b'{"inputs": "' + b" " * 4_000_000 + b'"}', b'{"inputs": "' + b"A" * 4_000_000 + b'"}'],
    ids=["blanks", "letters"],
)
def test_json_that_was_compressed_too_well_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidRequest, match="expands to more than 100 times"):
        parse([gzip.compress(document)], huggingface.ACCEPTED, content_encoding="gzip")


def test_raw_audio_may_be_compressed_well() -> None:
    content = gzip.compress(bytes(4_000_000))
    assert isinstance(parse([content], huggingface.ACCEPTED, content_encoding="gzip"), RawBody)


@pytest.mark.parametrize(
    ("accepted", "content", "allowed"),
    [
        (huggingface.ACCEPTED, b"RIFF", "allowed: 18000000 bytes of audio (24065536 bytes of JSON with base64)"),
        (deepinfra.ACCEPTED, b'{"', "allowed: 18000000 bytes of audio (24065536 bytes of JSON with base64)"),
        (FORM, b"--x\r\n", "allowed: 18000000 bytes of audio"),
    ],
    ids=["Hugging Face", "DeepInfra", "OpenAI"],
)
@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_over_the_limit_is_refused_naming_the_audios_limit(
    accepted: AcceptedBodies, content: bytes, allowed: str, is_declared: bool
) -> None:
    """The limit that jobs and DeepInfra named was 1 MiB more than what they accepted."""
    headers: dict[str, Any] = {"content_type": "multipart/form-data; boundary=x"}
    if is_declared:
        headers["content_length"] = "25000000"
    with pytest.raises(BodyTooLarge) as refused:
        parse([content, bytes(25_000_000)], accepted, **headers)
    assert str(refused.value).endswith(allowed)
