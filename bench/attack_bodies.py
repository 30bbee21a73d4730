"""The bodies of attacks, at the sizes at which they once stalled the server or filled its memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

HUGGINGFACE, DEEPINFRA, OPENAI = "/", "/v1/inference/whisper-1", "/v1/audio/transcriptions"
BOUNDARY = "attack"
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
MB = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """make_body: called once, before anything is measured. n_at_once: how many clients send it.

    is_bomb: the server must be done with it within a limit on time and one on memory.
    """

    name: str
    path: str
    make_body: Callable[[], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    n_at_once: int = 1
    is_bomb: bool = False


def around(begin: bytes, middle: bytes, end: bytes, n_bytes: int) -> bytes:
    """Return a body of about `n_bytes`: the middle again and again."""
    return begin + middle * (n_bytes // len(middle)) + end


def make_form(parts: list[tuple[str, bytes]], *, headers: str = "") -> bytes:
    """Return a form of named parts, each with the same further headers."""
    begin = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="%s"\r\n{headers}\r\n'
    body = b"".join((begin % name).encode() + content + b"\r\n" for name, content in parts)
    return body + f"--{BOUNDARY}--\r\n".encode()


def _json(name: str, path: str, begin: bytes, middle: bytes, end: bytes, n_bytes: int) -> Attack:
    return Attack(name=name, path=path, make_body=lambda: around(begin, middle, end, n_bytes))


def _form(
    name: str, parts: Callable[[], list[tuple[str, bytes]]], *, headers: str = "", path: str = OPENAI
) -> Attack:
    return Attack(
        name=name,
        path=path,
        make_body=lambda: make_form(parts(), headers=headers),
        headers={"Content-Type": FORM_TYPE},
    )


def _compressed(name: str, make_body: Callable[[], bytes]) -> Attack:
    return Attack(name=name, path=HUGGINGFACE, make_body=make_body, headers={"Content-Encoding": "gzip"})


def _with_duplicate(n_bytes: int) -> bytes:
    n_keys = n_bytes // 12
    pairs = ",".join(f'"{index:07d}":0' for index in range(n_keys))
    return f'{{"inputs":"AAAA",{pairs},"{n_keys - 1:07d}":0}}'.encode()


def _unknown_keys(n_bytes: int, n_keys: int) -> bytes:
    document: dict[str, Any] = {f"{index:04d}{'k' * (n_bytes // n_keys)}": 0 for index in range(n_keys)}
    return json.dumps({"inputs": "AAAA", "parameters": document}).encode()


def _samples(name: str, number: bytes) -> Attack:
    return _json(name, HUGGINGFACE, b'{"inputs":{"array":[0', b"," + number, b'],"sampling_rate":0}}', 100 * MB)


_IN_PARAMETERS = b'{"inputs":"AAAA","parameters":{"generation_parameters":{'
_MODEL = ("model", b"whisper-1")

ATTACKS = (
    _json(
        "A2 suppress_tokens of texts", HUGGINGFACE, _IN_PARAMETERS + b'"suppress_tokens":[""', b',""', b"]}}}", MB
    ),
    _json("A2 prompt of 30 MB", HUGGINGFACE, _IN_PARAMETERS + b'"prompt":"', b"x", b'"}}}', 30 * MB),
    _json("A2 lists of lists", HUGGINGFACE, b'{"inputs":[[]', b",[]", b"]}", 100 * MB),
    _json("A2 lists for samples", HUGGINGFACE, b'{"inputs":{"array":[[]', b",[]", b"]}}", 100 * MB),
    _samples("A2 samples, short numbers", b"0"),
    _samples("A2 samples, long numbers", b"0.0123456789"),
    _json("A2 base64", HUGGINGFACE, b'{"inputs":"', b"AAAA", b'"}', 100 * MB),
    _json("A2 base64, DeepInfra", DEEPINFRA, b'{"audio":"', b"AAAA", b'"}', 100 * MB),
    _json("A2 base64 with blanks", HUGGINGFACE, b'{"inputs":"AAAA', b" ", b'"}', 100 * MB),
    _json("A2 base64 in escapes", HUGGINGFACE, b'{"inputs":"', b"\\u0041", b'"}', 100 * MB),
    _compressed(
        "A3 compressed lists", lambda: gzip.compress(around(b'{"inputs":"AAAA","a":[[]', b",[]", b"]}", 100 * MB))
    ),
    _compressed("A3 compressed base64", lambda: gzip.compress(around(b'{"inputs":"', b"A", b'"}', 100 * MB))),
    _form(
        "A6 parts in punycode",
        lambda: [_MODEL, *[("prompt", b"a-" + b"9" * 64_000)] * 40],
        headers="Content-Type: text/plain; charset=punycode\r\n",
    ),
    Attack(name="A7 duplicate key, 100 KB", path=HUGGINGFACE, make_body=lambda: _with_duplicate(100_000)),
    Attack(
        name="A7 duplicate key, 1 MB, six", path=HUGGINGFACE, make_body=lambda: _with_duplicate(MB), n_at_once=6
    ),
    _form("B2 keywords of 64 KB", lambda: [_MODEL, *[("keywords[]", b"k" * 64_000)] * 197]),
    _form(
        "B2 bad granularities",
        lambda: [_MODEL, *[("timestamp_granularities[]", b"x" * 64_000)] * 190, ("file", b"R")],
    ),
    _json("B3 long key, DeepInfra", DEEPINFRA, b'{"audio":"AAAA","', b"k", b'":0}', 10 * MB),
    Attack(name="B3 unknown keys", path=HUGGINGFACE, make_body=lambda: _unknown_keys(31 * MB, 480)),
    Attack(
        name="B6 odd boundary",
        path=OPENAI,
        make_body=lambda: b"x",
        headers={"Content-Type": "multipart/form-data; boundary*=idna''abc"},
    ),
    _form("B6 charset with NUL", lambda: [_MODEL], headers="Content-Type: text/plain; charset=a\0b\r\n"),
    _json("B6 half a surrogate pair", HUGGINGFACE, _IN_PARAMETERS + b'"prompt":"', b"\\ud800", b'"}}}', 6),
    _form("B6 the same in keywords", lambda: [_MODEL, ("keywords", b'["\\ud800"]'), ("file", b"RIFF")]),
    _form("B7 form of 100 MB", lambda: [("audio", bytes(100 * MB))], path=DEEPINFRA),
    _form("B7 form of false boundaries", lambda: [("audio", b"\0\r\n--attack!" * (5 * MB // 12))], path=DEEPINFRA),
    _compressed("C5 members of a byte", lambda: gzip.compress(b"x") * (10 * MB // 21)),
    _json("C7 data: without a comma", HUGGINGFACE, b'{"inputs":"data:', b"A", b'"}', 50 * MB),
)
"""In the order of the findings that they show."""
