"""Requests with beams, candidates and samples, through a Transcriber with real weights."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.scheduler import n_reserved_slots
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.types import Transcription, TranscriptionOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.loading import load_speech_model
from tests.fakes import DEADLINE_S
from tests.transcription.transcribing import Blocks

pytestmark = pytest.mark.usefixtures("one_thread")

N_SLOTS = 8
MOST = N_SLOTS - n_reserved_slots(N_SLOTS)
CLAUSE = 8 * SAMPLE_RATE  # samples of the recording, to the end of its first clause
TOLERANCE = 1e-4
N_TEXT_TOKENS = 50_256  # of an English-only vocabulary
GREEDY = TranscriptionOptions(decoding=DecodingOptions.from_flat(temperatures=(0.0,)))
BEAMS = TranscriptionOptions(decoding=DecodingOptions.from_flat(temperatures=(0.0,), num_beams=5))
GROUPS = TranscriptionOptions(
    decoding=DecodingOptions.from_flat(temperatures=(0.0,), num_beams=4, num_beam_groups=2, diversity_penalty=2.0)
)
CONTRAST = TranscriptionOptions(
    decoding=DecodingOptions.from_flat(temperatures=(0.0,), penalty_alpha=0.7, top_k=4)
)


@pytest.fixture(scope="module")
def transcriber(tiny_en_directory: Path) -> Iterator[BatchingTranscriber]:
    model, tokenizer, info = load_speech_model(tiny_en_directory, device="cpu", dtype="float32", slots=N_SLOTS)
    transcriber = BatchingTranscriber(
        Engine(model, slots=N_SLOTS),
        tokenizer,
        info,
        max_requests=8,
        max_ahead=2 * N_SLOTS,
        encoder_padding_s=6.0,
        max_beams=N_SLOTS + 1,
    )
    yield transcriber
    transcriber.close()


Work = tuple[Iterable[Waveform], TranscriptionOptions]


def transcribe(transcriber: BatchingTranscriber, *work: Work) -> list[Transcription]:
    """Transcribe everything at the same time."""

    async def scenario() -> list[Transcription]:
        async with asyncio.timeout(2 * DEADLINE_S):
            return await asyncio.gather(
                *(transcriber.transcribe(Blocks(waveform), options) for waveform, options in work)
            )

    return asyncio.run(scenario())


def test_searches_and_greedy_requests_do_not_affect_each_other(
    transcriber: BatchingTranscriber, speech: Waveform
) -> None:
    """With eight slots, one chunk with five beams or two with four candidates run at a time."""
    pause = np.zeros(5 * SAMPLE_RATE, np.float32)
    first, second = speech[: 5 * SAMPLE_RATE], speech[4 * SAMPLE_RATE : CLAUSE]
    long = [first, pause, second]
    work = [([first], options) for options in (BEAMS, GREEDY, GROUPS, CONTRAST)]
    work += [([second], options) for options in (BEAMS, CONTRAST)]
    work += [(long, BEAMS), (long, GREEDY)]
    alone = [transcribe(transcriber, one)[0] for one in work]
    together = transcribe(transcriber, *work)
    assert [result.text for result in together] == [result.text for result in alone]
    assert len({result.text for result in alone}) >= 4
    for result, expected in zip(together, alone, strict=True):
        for segment, other in zip(result.segments, expected.segments, strict=True):
            assert segment.window.avg_logprob == pytest.approx(other.window.avg_logprob, abs=TOLERANCE)


def test_more_beams_than_slots_are_refused_before_the_recording_is_read(transcriber: BatchingTranscriber) -> None:
    def waveform() -> Iterator[Waveform]:
        raise AssertionError("read")
        yield

    options = TranscriptionOptions(decoding=DecodingOptions.from_flat(num_beams=N_SLOTS + 1))
    with pytest.raises(InvalidParameter, match=rf"num_beams is {N_SLOTS + 1}; allowed: up to {MOST}, .*--slots"):
        transcribe(transcriber, (waveform(), options))


def test_best_of_samples_gives_the_same_text_alone_and_with_others(
    transcriber: BatchingTranscriber, speech: Waveform
) -> None:
    def options(best_of: int, seed: int) -> TranscriptionOptions:
        return TranscriptionOptions(
            decoding=DecodingOptions.from_flat(temperatures=(1.0,), best_of=best_of, seed=seed, top_k=50)
        )

    seeds = (1, 2)
    clause = [speech[:CLAUSE]]
    work = [(clause, options(best_of, seed)) for best_of in (1, 4) for seed in seeds]
    alone = [transcribe(transcriber, one)[0] for one in work]
    together = transcribe(transcriber, *work, (clause, BEAMS), (clause, GREEDY))
    assert [result.text for result in together[: len(work)]] == [result.text for result in alone]
    assert len({result.text for result in alone}) >= 3
    best = [result.segments[0].window.avg_logprob for result in alone]
    assert all(of_four >= of_one for of_one, of_four in zip(best[:2], best[2:], strict=True))
    assert best[:2] != best[2:]


SPOKEN = "ask not what your country can do for you"


def plain(transcription: Transcription) -> str:
    return transcription.text.lower().replace(",", "").replace(".", "")


@pytest.mark.parametrize(
    "decoding",
    [
        pytest.param(DecodingOptions.from_flat(temperatures=(0.0,), num_beams=2), id="beams"),
        pytest.param(
            DecodingOptions.from_flat(temperatures=(0.0,), num_beams=2, early_stopping="never", max_new_tokens=60),
            id="never stopping early",
        ),
        pytest.param(DecodingOptions.from_flat(temperatures=(0.0,), num_beams=2, patience=2.0), id="patience"),
        pytest.param(
            DecodingOptions.from_flat(temperatures=(0.0,), num_beams=2, beam_temperature=0.5),
            id="beam temperature",
        ),
        pytest.param(
            DecodingOptions.from_flat(num_beams=4, num_beam_groups=2), id="groups of beams, then the ladder"
        ),
        pytest.param(DecodingOptions.from_flat(penalty_alpha=0.2), id="contrastive search, then the ladder"),
        pytest.param(DecodingOptions.from_flat(num_beams=MOST, best_of=MOST), id="all slots"),
        pytest.param(DecodingOptions.from_flat(temperatures=(0.8,), top_k=1), id="top_k 1 is greedy"),
        pytest.param(DecodingOptions.from_flat(temperatures=(0.8,), top_p=1e-6), id="top_p 0 is greedy"),
        pytest.param(DecodingOptions.from_flat(temperatures=(0.01,)), id="sampling at a low temperature"),
        pytest.param(DecodingOptions.from_flat(temperatures=(0.0,), suppress_tokens=()), id="nothing suppressed"),
    ],
)
def test_every_kind_of_decoding_transcribes_the_words(
    transcriber: BatchingTranscriber, speech: Waveform, decoding: DecodingOptions
) -> None:
    (result,) = transcribe(transcriber, ([speech[:CLAUSE]], TranscriptionOptions(decoding=decoding)))
    assert SPOKEN in plain(result)


def test_a_high_temperature_changes_the_words(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    decoding = DecodingOptions.from_flat(
        temperatures=(3.0,), logprob_threshold=None, compression_ratio_threshold=None
    )
    (result,) = transcribe(transcriber, ([speech[:CLAUSE]], TranscriptionOptions(decoding=decoding)))
    assert SPOKEN not in plain(result)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_suppressed_tokens_are_never_chosen(
    transcriber: BatchingTranscriber, speech: Waveform, num_beams: int
) -> None:
    """The text may still have the same words, in other tokens."""
    usual = DecodingOptions.from_flat(temperatures=(0.0,), num_beams=num_beams)
    (usual_result,) = transcribe(transcriber, ([speech[:CLAUSE]], TranscriptionOptions(decoding=usual)))
    spoken = {token for segment in usual_result.segments for token in segment.tokens if token < N_TEXT_TOKENS}
    suppressed = tuple(sorted(spoken))[::3]
    options = replace(usual, suppress_tokens=suppressed)
    (result,) = transcribe(transcriber, ([speech[:CLAUSE]], TranscriptionOptions(decoding=options)))
    assert result.segments
    assert not set(suppressed) & {token for segment in result.segments for token in segment.tokens}


def test_tokens_that_cannot_be_suppressed_are_refused(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    options = TranscriptionOptions(decoding=DecodingOptions.from_flat(suppress_tokens=(99_999,)))
    with pytest.raises(InvalidParameter, match="suppress_tokens has 99999"):
        transcribe(transcriber, ([speech], options))
