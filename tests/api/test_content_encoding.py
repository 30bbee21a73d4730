"""Compressed bodies, piece by piece, and over a socket in each dialect."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests

from hf_asr_endpoint.api.content_encoding import MAX_MEMBERS, PIECE_BYTES, Decompressor, open_decompressor
from hf_asr_endpoint.errors import InvalidRequest, UnsupportedEncoding
from tests.api.conftest import DEADLINE_S, Serve, make_wav
from tests.fakes import FakeTranscriber

NOISE = np.random.default_rng(0).bytes(300_000)
HUGE = bytes(100_000_000)


def decompress(compressed: bytes, *, encoding: str = "gzip", step: int = 10**9) -> bytes:
    decompressor = Decompressor(encoding)
    pieces = [
        piece
        for begin in range(0, len(compressed), step)
        for piece in decompressor.push(compressed[begin : begin + step])
    ]
    decompressor.check_whole()
    assert all(0 < len(piece) < 2 * PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("step", [1, 7, 4096, 10**9])
@pytest.mark.parametrize(
    "content", [b"", b"a", NOISE[:9000], bytes(1_000_000)], ids=["none", "a", "noise", "zeros"]
)
def test_decompression_does_not_depend_on_the_blocks(content: bytes, step: int) -> None:
    assert decompress(gzip.compress(content), step=step) == content
    assert decompress(zlib.compress(content), encoding="deflate", step=step) == content


def test_noise_longer_than_a_piece() -> None:
    assert decompress(gzip.compress(NOISE)) == NOISE


@pytest.mark.parametrize("step", [1, 10**9])
def test_several_members_are_joined(step: int) -> None:
    assert decompress(gzip.compress(b"abc") + gzip.compress(b"") + gzip.compress(b"def"), step=step) == b"abcdef"


def test_a_bomb_comes_out_in_pieces() -> None:
    bomb = gzip.compress(HUGE)
    tracemalloc.start()
    try:
        assert sum(len(piece) for piece in Decompressor("gzip").push(bomb)) == len(HUGE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * PIECE_BYTES


@pytest.mark.parametrize(
    ("compressed", "encoding", "message"),
    [
        pytest.param(gzip.compress(NOISE)[:-1], "gzip", "breaks off", id="cut off"),
        pytest.param(gzip.compress(b"a") + b"\x1f", "gzip", "breaks off", id="half a member"),
        pytest.param(NOISE, "gzip", "does not match its Content-Encoding", id="not compressed"),
        pytest.param(gzip.compress(b"a") + b"garbage!!!", "gzip", "does not match its", id="garbage after it"),
        pytest.param(gzip.compress(b"abc")[:-5] + b"12345", "gzip", "does not match its", id="wrong checksum"),
        pytest.param(gzip.compress(b"a"), "deflate", "allowed: valid deflate", id="another encoding"),
        pytest.param(zlib.compress(b"a") + b"b", "deflate", "goes on after its end", id="deflate and more"),
    ],
)
def test_broken_bodies_are_refused(compressed: bytes, encoding: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        decompress(compressed, encoding=encoding)


@pytest.mark.parametrize("headers", [[], [""], ["identity"], ["Identity, identity"]])
def test_an_uncompressed_body_needs_no_decompressor(headers: list[str]) -> None:
    assert open_decompressor(headers) is None


@pytest.mark.parametrize(
    "headers", [["gzip"], [" GZIP "], ["x-gzip"], ["identity, deflate"], ["identity", "gzip"]]
)
def test_names_of_encodings(headers: list[str]) -> None:
    assert open_decompressor(headers)


@pytest.mark.parametrize("headers", [["br"], ["zstd"], ["gzip, gzip"], ["gzip", "deflate"], ["gzip;q=1"]])
def test_other_encodings_are_refused_naming_the_allowed(headers: list[str]) -> None:
    with pytest.raises(UnsupportedEncoding, match="allowed: one of gzip, deflate, identity"):
        open_decompressor(headers)


def post(url: str, body: bytes, encoding: str = "gzip", **headers: str) -> requests.Response:
    return requests.post(url, data=body, headers={"Content-Encoding": encoding, **headers}, timeout=DEADLINE_S)


def make_form(url: str, **fields: Any) -> tuple[bytes, str]:
    """Return a multipart form's body and its Content-Type."""
    prepared = requests.Request("POST", url, files=fields).prepare()
    assert isinstance(prepared.body, bytes)
    return prepared.body, prepared.headers["Content-Type"]


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_each_form_of_a_body_may_be_compressed(
    url: str, wav: bytes, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    assert post(url, compress(wav), encoding).json() == {"text": "16000 samples"}
    document = json.dumps({"inputs": b64encode(wav).decode()}).encode()
    assert post(url, compress(document), encoding).json() == {"text": "16000 samples"}
    form, media_type = make_form(url, file=("a.wav", wav), model=(None, "whisper-1"))
    answer = post(f"{url}/v1/audio/transcriptions", compress(form), encoding, **{"Content-Type": media_type})
    assert answer.json()["text"] == "16000 samples"


def test_a_bomb_is_refused_while_it_is_read(url: str) -> None:
    """A hundred megabytes in a hundred kilobytes, which a limit on what arrives would let in."""
    answer = post(url, gzip.compress(HUGE))
    assert answer.status_code == 413
    n_seen = int(answer.json()["error"].split()[3])
    assert 300_000 < n_seen < 300_000 + 2 * PIECE_BYTES


def test_a_compressed_body_that_never_holds_anything_is_refused(url: str) -> None:
    start = gzip.compress(b"")[:10]
    empty_blocks = bytes(3) + b"\xff\xff"  # RFC 1951, section 3.2.4: a stored block of length 0, byte-aligned
    blocks = (start if index == 0 else empty_blocks * 2_000 for index in range(100))  # sent without its length
    answer = requests.post(url, data=blocks, headers={"Content-Encoding": "gzip"}, timeout=DEADLINE_S)
    assert answer.status_code == 413


def test_many_small_members_are_gathered() -> None:
    members = [gzip.compress(b"x")] * MAX_MEMBERS
    assert list(Decompressor("gzip").push(b"".join(members))) == [b"x" * MAX_MEMBERS]


def test_more_members_than_allowed_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="more than 10000 members"):
        list(Decompressor("gzip").push(gzip.compress(b"x") * (MAX_MEMBERS + 1)))


def test_a_compressed_body_of_exactly_the_limit_is_taken(url: str) -> None:
    wav = make_wav((300_000 - 44) // 2)
    assert len(wav) == 300_000
    assert post(url, gzip.compress(wav)).status_code == 200
    assert post(url, gzip.compress(wav + b"\0")).status_code == 413


def test_a_large_compressed_body_is_read_back_whole(serve: Serve, transcriber: FakeTranscriber) -> None:
    url = serve(transcriber, max_audio_bytes=5_000_000, max_audio_s=600.0)
    assert post(url, gzip.compress(make_wav(2_000_000))).json() == {"text": "2000000 samples"}


def test_an_unknown_encoding_is_415_in_each_dialect(url: str, wav: bytes) -> None:
    answer = post(url, wav, "br")
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip, deflate, identity"
    assert "'br'; allowed: one of gzip, deflate, identity" in answer.json()["error"]
    answer = post(f"{url}/v1/audio/transcriptions", wav, "br")
    assert answer.status_code == 415
    assert "'br'; allowed" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [gzip.compress(b""), b""], ids=["of nothing", "none"])
def test_an_empty_compressed_body_is_refused(url: str, body: bytes) -> None:
    answer = post(url, body)
    assert answer.status_code == 400
    assert "empty" in answer.json()["error"]


def test_a_compressed_body_that_breaks_off_is_400(url: str, wav: bytes) -> None:
    answer = post(url, gzip.compress(wav)[:-20])
    assert answer.status_code == 400
    assert "breaks off" in answer.json()["error"]
