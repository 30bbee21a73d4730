"""Requests with odd values, structures, headers and framings, made from valid ones."""

from __future__ import annotations

import base64
import gzip
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.fuzz.audio_files import make_seeds
from tests.fuzz.dialects import draw_draft, make_routes
from tests.fuzz.drafts import BodyKind, Draft, Field
from tests.fuzz.mutation import mutate
from tests.fuzz.values import (
    CONTENT_TYPES,
    FILE_NAMES,
    HEADERS,
    METHODS,
    ODD_JSON,
    ODD_NAMES,
    ODD_TEXTS,
    PART_HEADERS,
    PATHS,
    QUERIES,
)

Ending = Literal["wait", "half-close", "leave"]
ENDINGS: tuple[Ending, ...] = ("wait", "half-close", "leave")
KINDS: tuple[BodyKind, ...] = ("raw", "json", "form", "urlencoded", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCase:
    """data: all that the client sends. ending: what it does then. n_pieces: in how many pieces it sends."""

    data: bytes
    ending: Ending
    n_pieces: int


def make_case(seed: int, index: int) -> RequestCase:
    """Return a case, which depends on these two numbers alone."""
    rng = random.Random(f"request {seed} {index}")
    draft = draw_draft(rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        rng.choice(MUTATIONS)(rng, draft)
    data = _write(rng, draft)
    if rng.random() < 0.1:
        others = [_write(rng, draw_draft(rng))]
        data = mutate(rng, data, others)
    ending = rng.choices(ENDINGS, (90, 6, 4))[0]
    return RequestCase(data=data, ending=ending, n_pieces=rng.choice((1, 1, 1, 1, 2, 7)))


def _any_field(rng: random.Random, draft: Draft) -> Field | None:
    fields = [*draft.fields, *draft.query]
    return rng.choice(fields) if fields else None


def _odd_value(rng: random.Random, draft: Draft) -> None:
    if item := _any_field(rng, draft):
        item.is_raw = draft.kind == "json" and item not in draft.query
        item.value = rng.choice(ODD_JSON if item.is_raw else ODD_TEXTS)


def _mutated_value(rng: random.Random, draft: Draft) -> None:
    if item := _any_field(rng, draft):
        item.value, item.is_raw = mutate(rng, item.value, ODD_TEXTS), True


def _odd_name(rng: random.Random, draft: Draft) -> None:
    if item := _any_field(rng, draft):
        changed = (item.name + b"[]", item.name + b"[0]", item.name + b"[a]", item.name.upper(), b" " + item.name)
        item.name = rng.choice((*changed, item.name[:-1], rng.choice(ODD_NAMES)))


def _drop(rng: random.Random, draft: Draft) -> None:
    if draft.fields:
        draft.fields.pop(rng.randrange(len(draft.fields)))


def _repeat(rng: random.Random, draft: Draft) -> None:
    if item := _any_field(rng, draft):
        target = rng.choice((draft.fields, draft.query)) if len(item.value) < 1_000 else draft.fields
        target += [item] * rng.choice((1, 1, 2, 300 if len(item.value) < 100 else 1))


def _add(rng: random.Random, draft: Draft) -> None:
    item = Field(rng.choice(ODD_NAMES), rng.choice(ODD_TEXTS), level=rng.randrange(3))
    rng.choice((draft.fields, draft.query)).append(item)


def _move(rng: random.Random, draft: Draft) -> None:
    if draft.fields:
        rng.choice(draft.fields).level = rng.randrange(3)


def _part(rng: random.Random, draft: Draft) -> None:
    if item := _any_field(rng, draft):
        item.headers += rng.choice(PART_HEADERS) + b"\r\n"
        if rng.random() < 0.5:
            item.file_name = rng.choice(FILE_NAMES)


def _boundary(rng: random.Random, draft: Draft) -> None:
    draft.boundary = rng.choice(
        (b"", b"a" * 70, b"a" * 5_000, b"\xff", b'"', b"a b ", b"--", b"\0", b"x'()+_,./:=?")
    )


def _body_kind(rng: random.Random, draft: Draft) -> None:
    draft.kind = rng.choice(KINDS)


def _content_type(rng: random.Random, draft: Draft) -> None:
    draft.content_type = rng.choice(CONTENT_TYPES)


def _header(rng: random.Random, draft: Draft) -> None:
    draft.headers += [rng.choice(HEADERS)] * rng.choice((1, 1, 1, 2, 90))


def _query(rng: random.Random, draft: Draft) -> None:
    draft.raw_query = rng.choice(QUERIES)


def _method(rng: random.Random, draft: Draft) -> None:
    draft.method = rng.choice(METHODS)


def _path(rng: random.Random, draft: Draft) -> None:
    path, cut = draft.path, rng.randrange(len(draft.path) + 1)
    _, elsewhere = rng.choice(rng.choice(list(make_routes().values())))
    inserted = rng.choice(
        (b"/", b"//", b"/../", b"/./", b"%2F", b"%00", b"%", b"%ff", b";a", b"\xff", b"%ED%A0%80")
    )
    encoded = path[:cut] + b"".join(b"%%%02x" % byte for byte in path[cut : cut + 3]) + path[cut + 3 :]
    draft.path = rng.choice(
        (
            rng.choice(PATHS),
            elsewhere.encode(),
            path[:cut] + inserted + path[cut:],
            encoded,
            path.upper(),
            path + b"/",
        )
    )


def _audio(rng: random.Random, draft: Draft) -> None:
    seeds = list(make_seeds().values())
    audio = rng.choice((b"", rng.choice(seeds), mutate(rng, rng.choice(seeds), seeds), b"RIFF", b"not audio"))
    draft.audio = audio
    for item in draft.fields:
        if item.file_name is not None:
            item.value = audio
        elif draft.kind == "json" and item.name == draft.audio_field:
            item.value = b'"' + base64.b64encode(audio) + b'"'


MUTATIONS: tuple[Callable[[random.Random, Draft], None], ...] = (
    *(
        _odd_value,
        _odd_value,
        _odd_value,
        _mutated_value,
        _odd_name,
        _drop,
        _repeat,
        _add,
        _move,
        _part,
        _boundary,
    ),
    *(_body_kind, _content_type, _header, _header, _query, _method, _path, _path, _audio, _audio),
)


def _write(rng: random.Random, draft: Draft) -> bytes:
    body, media_type = draft.body()
    headers = list(draft.headers)
    media_type = media_type if draft.content_type is None else draft.content_type
    if media_type is not None:
        headers.append((b"Content-Type", media_type))
    if rng.random() < 0.12:
        body = mutate(rng, body, ODD_JSON)  # Before the headers say how long it is: its parser sees all of it.
    if rng.random() < 0.08:
        body = _compress(rng, body, headers)
    body = _frame(rng, body, headers) if rng.random() < 0.15 else _declare(body, headers)
    version = (
        b"HTTP/1.1" if rng.random() < 0.97 else rng.choice((b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1"))
    )
    head = draft.method + b" " + draft.target() + b" " + version + b"\r\n"
    return head + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n" + body


def _declare(body: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    if body:
        headers.append((b"Content-Length", b"%d" % len(body)))
    return body


def _compress(rng: random.Random, body: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Compress a body, rightly or not, and say so, rightly or not."""
    whole = gzip.compress(body, mtime=0)
    damaged = mutate(rng, whole, [body])
    endless = gzip.compress(bytes(3 * 10**6), mtime=0)
    data = rng.choice((whole, whole, zlib.compress(body), damaged, body, whole[:-3], whole * 2, endless))
    name = rng.choice((b"gzip", b"gzip", b"deflate", b"x-gzip", b"br", b"gzip, gzip", b"identity", b"\xff", b""))
    headers.append((b"Content-Encoding", name))
    return data


def _frame(rng: random.Random, body: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Give a body a length, or chunks, that mostly are wrong."""
    length = len(body)
    if rng.random() < 0.4:
        wrong = (length + 1, max(0, length - 1), length // 2, length + 10**6, 0, 10**12)
        headers.append((b"Content-Length", b"%d" % rng.choice(wrong)))
        if rng.random() < 0.2:
            headers.append((b"Content-Length", b"%d" % length))
        return body
    headers.append(
        (b"Transfer-Encoding", rng.choice((b"chunked", b"chunked", b"Chunked", b"chunked, chunked", b"x")))
    )
    if rng.random() < 0.1:
        headers.append((b"Content-Length", b"%d" % length))
    cut = rng.randrange(length + 1)
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part]
    framed = b"".join(chunks) + b"0\r\n\r\n"
    broken = (framed[:-5], framed[1:], b"-1\r\n" + framed, b"f" * 20 + b"\r\n", framed.replace(b"\r\n", b"\n"))
    ends = (b"".join(chunks) + b"0\r\nX: y\r\n\r\n", b"".join(chunks) + b"0;ext=" + b"x" * 9_000 + b"\r\n\r\n")
    return rng.choice((framed, framed, *broken, *ends))
