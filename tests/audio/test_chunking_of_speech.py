"""Chunks contain the speech of real recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunking import split_chunks
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.loudness import BLOCK_SIZES, check, extents_s, in_blocks, only_chunks, speech_s
from tests.audio.tones import DATA, decode

LONG = Path(__file__).parents[3] / "shared" / "speech" / "long" / "test_other.flac"
"""Seven minutes of read speech; the tests that use it are skipped without it."""


def test_a_real_clip_is_one_chunk() -> None:
    waveform = decode((DATA / "../jfk.mp3").read_bytes())
    chunks = only_chunks(split_chunks([waveform], VoiceActivityDetector()))
    check(chunks, waveform)
    assert extents_s(chunks) == [pytest.approx((0.0, len(waveform) / SAMPLE_RATE), abs=0.7)]
    assert len(chunks[0].speech) > 2  # He pauses for effect.


def test_real_speech_is_found_between_silences() -> None:
    clip = decode((DATA / "../2033-164914-0007.flac").read_bytes())
    silence = np.zeros(20 * SAMPLE_RATE, np.float32)
    waveform = np.concatenate([silence, clip, silence, clip, silence])
    chunks = only_chunks(split_chunks(in_blocks(waveform, 1_234), VoiceActivityDetector()))
    check(chunks, waveform)
    clip_s = len(clip) / SAMPLE_RATE
    assert extents_s(chunks) == [
        pytest.approx((begin_s, begin_s + clip_s), abs=0.7) for begin_s in (20, 40 + clip_s)
    ]


@pytest.mark.skipif(not LONG.exists(), reason="the shared recordings are not here")
@pytest.mark.parametrize("block_size", BLOCK_SIZES[1:])
def test_every_utterance_of_a_long_recording_is_inside_a_chunk(block_size: int) -> None:
    waveform = decode(LONG.read_bytes())
    chunks = only_chunks(split_chunks(in_blocks(waveform, block_size), VoiceActivityDetector()))
    check(chunks, waveform)
    assert len(chunks) < 22
    speech = speech_s(chunks)
    utterances = json.loads(LONG.with_suffix(".flac.json").read_text())["segments"]
    for text, start_s, end_s in utterances:
        # Utterances begin and end with up to half a second of silence.
        spoken = [s for s in speech if s[1] > start_s + 0.1 and s[0] < end_s - 0.1]
        assert spoken, text
        assert spoken[0][0] < start_s + 1.0, text
        assert spoken[-1][1] > end_s - 1.0, text
    held_s = sum(end - start for start, end in extents_s(chunks))
    assert held_s > 0.95 * len(waveform) / SAMPLE_RATE
