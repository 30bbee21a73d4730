"""A later piece of a recording is recognised as one; joined to the first piece it is decoded. Tags are skipped."""

from __future__ import annotations

import numpy as np
import pytest

from hf_asr_endpoint.audio.pieces import name_later_piece
from hf_asr_endpoint.errors import InvalidAudio, UnsupportedAudio
from tests.audio.test_hostile_files import id3
from tests.audio.tones import decode, make_tone, write_ffmpeg, write_sound

TONE = make_tone(48_000, duration_s=10)
CLUSTER, BLOCK = b"\x1f\x43\xb6\x75", b"\xa3"
WEBM = write_ffmpeg(
    TONE,
    48_000,
    container="webm",
    codec="libopus",
    options={"cluster_time_limit": "2000", "live": "1"},
)
OGG = write_ffmpeg(TONE, 48_000, container="ogg", codec="libopus", bit_rate=64_000)
VORBIS = write_sound(TONE, 48_000, container="OGG", subtype="VORBIS")
MP4 = write_ffmpeg(
    TONE,
    48_000,
    container="mp4",
    codec="aac",
    options={"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "2000000"},
)


def offsets(data: bytes, mark: bytes) -> list[int]:
    return [index for index in range(len(data)) if data.startswith(mark, index)]


CLUSTERS, PAGES = offsets(WEBM, CLUSTER), offsets(OGG, b"OggS")
FRAGMENTS = [index - 4 for index in offsets(MP4, b"moof")]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        pytest.param(WEBM[CLUSTERS[1] :], "webm", id="from a cluster"),
        pytest.param(WEBM[WEBM.index(BLOCK, CLUSTERS[1] + 12) :], "webm", id="from a block"),
        pytest.param(WEBM[CLUSTERS[1] : CLUSTERS[2]], "webm", id="one cluster"),
        pytest.param(OGG[PAGES[1] :], "ogg", id="ogg from its second page"),
        pytest.param(OGG[PAGES[4] :], "ogg", id="ogg from a later page"),
        pytest.param(VORBIS[offsets(VORBIS, b"OggS")[4] :], "ogg", id="vorbis"),
        pytest.param(MP4[FRAGMENTS[1] :], "mp4", id="mp4 from a fragment"),
    ],
)
def test_a_later_piece_is_refused_with_advice(data: bytes, name: str) -> None:
    with pytest.raises(InvalidAudio, match=rf"a later piece of a recording \({name}\).*joined") as caught:
        decode(data)
    assert caught.type is InvalidAudio


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(WEBM[: CLUSTERS[1]] + WEBM[CLUSTERS[1] :], id="webm"),
        pytest.param(WEBM[: CLUSTERS[1]] + WEBM[CLUSTERS[3] :], id="webm, two pieces are absent"),
        pytest.param(MP4[: FRAGMENTS[0]] + MP4[FRAGMENTS[1] :], id="mp4, one piece is absent"),
    ],
)
def test_joined_pieces_keep_their_times(data: bytes) -> None:
    assert len(decode(data)) / 16_000 == pytest.approx(10, abs=0.1)


def test_other_bytes_are_not_taken_for_pieces() -> None:
    generator = np.random.default_rng(0)
    n_taken = sum(name_later_piece(generator.bytes(8_197)) is not None for _ in range(2_000))
    assert n_taken < 20
    assert name_later_piece(b"") is None
    with pytest.raises(UnsupportedAudio):
        decode(bytes(1_000))


@pytest.mark.parametrize("n_tag_bytes", [0, 100, 9_000, 300_000])
@pytest.mark.parametrize("n_tags", [1, 3])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(write_sound(TONE, 48_000), id="wav"),
        pytest.param(write_sound(TONE, 48_000, container="FLAC"), id="flac"),
        pytest.param(write_sound(TONE, 48_000, container="AIFF"), id="aiff"),
        pytest.param(OGG, id="ogg"),
        pytest.param(WEBM, id="webm"),
        pytest.param(MP4, id="mp4"),
    ],
)
def test_tags_before_any_container_are_skipped(data: bytes, n_tags: int, n_tag_bytes: int) -> None:
    np.testing.assert_array_equal(decode(id3(b"T" * n_tag_bytes) * n_tags + data), decode(data))
