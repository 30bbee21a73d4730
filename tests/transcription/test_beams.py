"""Requests with beams or samples to choose from through the Transcriber seam, on real weights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.transcription.transcriber import transcribe
from hf_asr_endpoint.types import DecodingOptions, Transcription, TranscriptionOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.speech_model import load_speech_model
from tests.fakes import DEADLINE_S

pytestmark = pytest.mark.usefixtures("one_thread")

N_SLOTS = 8
TOLERANCE = 1e-4
GREEDY = TranscriptionOptions(decoding=DecodingOptions(temperatures=(0.0,)))
BEAMS = TranscriptionOptions(decoding=DecodingOptions(temperatures=(0.0,), num_beams=5))


@pytest.fixture(scope="module")
def transcriber(tiny_en_directory: Path) -> Iterator[BatchingTranscriber]:
    model, tokenizer, info = load_speech_model(tiny_en_directory, device="cpu", dtype="float32", n_slots=N_SLOTS)
    transcriber = BatchingTranscriber(
        Engine(model, n_slots=N_SLOTS), tokenizer, info, n_requests=8, n_ahead=2 * N_SLOTS, padding_s=6.0
    )
    yield transcriber
    transcriber.close()


Work = tuple[Iterable[Waveform], TranscriptionOptions]


def ask(transcriber: BatchingTranscriber, *work: Work) -> list[Transcription]:
    """Have all of it transcribed at the same time."""

    async def scenario() -> list[Transcription]:
        async with asyncio.timeout(2 * DEADLINE_S):
            return await asyncio.gather(*(transcribe(transcriber, *one) for one in work))

    return asyncio.run(scenario())


def test_beams_beside_greedy_requests_change_neither(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    """With five beams and eight slots, only one chunk with beams runs at a time."""
    pause = np.zeros(5 * SAMPLE_RATE, np.float32)
    pieces = [[speech, pause, speech], [speech[: 5 * SAMPLE_RATE]], [speech[4 * SAMPLE_RATE :]]]
    work = [(piece, options) for piece in pieces for options in (BEAMS, GREEDY)]
    alone = [ask(transcriber, one)[0] for one in work]
    together = ask(transcriber, *work)
    assert [result.text for result in together] == [result.text for result in alone]
    assert len({result.text for result in alone}) >= 4
    for result, expected in zip(together, alone, strict=True):
        for segment, other in zip(result.segments, expected.segments, strict=True):
            assert segment.window.avg_logprob == pytest.approx(other.window.avg_logprob, abs=TOLERANCE)


def test_more_beams_than_slots_are_refused_before_the_recording_is_read(transcriber: BatchingTranscriber) -> None:
    def waveform() -> Iterator[Waveform]:
        raise AssertionError("read")
        yield

    options = TranscriptionOptions(decoding=DecodingOptions(num_beams=N_SLOTS + 1))
    with pytest.raises(InvalidParameter, match=rf"num_beams is {N_SLOTS + 1}, .* {N_SLOTS} at a time"):
        ask(transcriber, (waveform(), options))


def test_the_best_of_samples_is_the_same_alone_and_beside_others(
    transcriber: BatchingTranscriber, speech: Waveform
) -> None:
    def options(best_of: int, seed: int) -> TranscriptionOptions:
        return TranscriptionOptions(
            decoding=DecodingOptions(temperatures=(1.0,), best_of=best_of, seed=seed, top_k=50)
        )

    seeds = (1, 2, 3)
    work = [([speech], options(best_of, seed)) for best_of in (1, 4) for seed in seeds]
    alone = [ask(transcriber, one)[0] for one in work]
    together = ask(transcriber, *work, ([speech], BEAMS), ([speech], GREEDY))
    assert [result.text for result in together[: len(work)]] == [result.text for result in alone]
    assert len({result.text for result in alone}) >= 3
    best = [result.segments[0].window.avg_logprob for result in alone]
    assert all(of_four >= of_one for of_one, of_four in zip(best[:3], best[3:], strict=True))
    assert best[:3] != best[3:]
