"""The batching transcriber on real weights: results of requests, alone and concurrent."""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.transcription.stream import Event
from hf_asr_endpoint.types import Progress, Segment, Transcription, TranscriptionOptions, Waveform
from hf_asr_endpoint.units import HOP_LENGTH, SAMPLE_RATE
from tests.fakes import DEADLINE_S
from tests.transcription.transcribing import (
    GREEDY,
    PADDING_S,
    SPOKEN,
    Blocks,
    Loaded,
    WatchedModel,
    comparable,
    pause,
    plain,
    run_transcribe,
    running,
    transcribe,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_text_times_and_language(transcriber: BatchingTranscriber, speech: Waveform, model: WatchedModel) -> None:
    result = run_transcribe(transcriber, [speech])
    assert SPOKEN in plain(result.text)
    assert (result.language, result.task) == ("en", "transcribe")
    assert result.duration_s == len(speech) / SAMPLE_RATE
    assert 0.0 < result.segments[0].start < 0.5
    assert 10.0 < result.segments[-1].end <= result.duration_s
    assert model.n_windows == 1
    assert model.busy == set()


def test_block_sizes_do_not_change_the_result(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    whole = run_transcribe(transcriber, [speech])
    assert run_transcribe(transcriber, (speech[i : i + 3_001] for i in range(0, len(speech), 3_001))) == whole


def test_long_audio_is_transcribed_whole_with_continuous_times(
    transcriber: BatchingTranscriber, speech: Waveform
) -> None:
    result = run_transcribe(transcriber, [speech, pause(5)] * 4)
    assert plain(result.text).count(SPOKEN) == 4
    starts = [segment.start for segment in result.segments]
    assert starts == sorted(starts)
    assert len({int(start) // 16 for start in starts}) == 4
    assert starts[-1] >= 48 - 0.5
    assert all(segment.start <= segment.end <= result.duration_s for segment in result.segments)


@pytest.mark.parametrize("chunk_length_s", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("conditioned", [False, True])
def test_no_segment_is_longer_than_the_longest_chunk(
    transcriber: BatchingTranscriber, speech: Waveform, chunk_length_s: float, conditioned: bool
) -> None:
    options = replace(GREEDY, chunk_length_s=chunk_length_s, condition_on_previous_text=conditioned)
    result = run_transcribe(transcriber, [speech], options)
    assert all(round(segment.end - segment.start, 2) <= chunk_length_s for segment in result.segments)
    starts = [segment.start for segment in result.segments]
    assert starts == sorted(starts)
    assert len(starts) >= 9 / chunk_length_s
    assert "for you" in plain(result.text)
    assert result.segments[-1].end > 9


def test_concurrent_requests_get_the_same_results_as_alone(
    transcriber: BatchingTranscriber, speech: Waveform, model: WatchedModel
) -> None:
    pieces = [[speech[: n * SAMPLE_RATE]] for n in (2, 5, 11)]
    pieces += [[speech, pause(5), speech, pause(5), speech[: 4 * SAMPLE_RATE]]]
    alone = [run_transcribe(transcriber, piece) for piece in pieces]
    n_steps_alone, model.n_steps = model.n_steps, 0

    async def together() -> list[Transcription]:
        return await asyncio.gather(*(transcribe(transcriber, piece) for piece in pieces))

    assert [comparable(result) for result in asyncio.run(together())] == [comparable(result) for result in alone]
    assert model.n_steps < n_steps_alone, "they were decoded side by side"


@pytest.mark.parametrize("n_samples", [0, 1, 159, 1_599])
def test_audio_of_a_few_samples_has_no_text(transcriber: BatchingTranscriber, n_samples: int) -> None:
    result = run_transcribe(transcriber, [np.full(n_samples, 0.1, np.float32)])
    assert result.segments == ()
    assert result.duration_s == n_samples / SAMPLE_RATE


def test_equal_sampling_requests_get_equal_results(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    options = TranscriptionOptions(decoding=DecodingOptions.from_flat(temperatures=(1.0,), logprob_threshold=None))
    first = run_transcribe(transcriber, [speech], options)

    async def together() -> list[Transcription]:
        pieces = [[speech[: 3 * SAMPLE_RATE]], [speech]]
        return await asyncio.gather(*(transcribe(transcriber, piece, options) for piece in pieces))

    assert comparable(asyncio.run(together())[1]) == comparable(first)
    assert first != run_transcribe(transcriber, [speech])


def test_max_new_tokens_limits_a_window(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    options = TranscriptionOptions(decoding=DecodingOptions.from_flat(temperatures=(0.0,), max_new_tokens=6))
    result = run_transcribe(transcriber, [speech[: 4 * SAMPLE_RATE]], options)
    assert 0 < sum(len(segment.tokens) for segment in result.segments) <= 6


def test_a_failed_window_is_decoded_whole_and_then_at_a_higher_temperature(
    transcriber: BatchingTranscriber, speech: Waveform, model: WatchedModel
) -> None:
    impossible = DecodingOptions.from_flat(
        temperatures=(0.0, 0.2), logprob_threshold=0.0, no_speech_threshold=None
    )
    result = run_transcribe(transcriber, [speech[: 4 * SAMPLE_RATE]], TranscriptionOptions(decoding=impossible))
    assert model.n_windows == 2, "cut, then whole; the warmer one needs no other window"
    assert result.text


def test_a_stream_has_the_segments_in_order_and_then_the_transcription(
    transcriber: BatchingTranscriber, speech: Waveform
) -> None:
    async def scenario() -> list[Event]:
        return [event async for event in await transcriber.stream(Blocks([speech, pause(8)] * 4), GREEDY)]

    *events, result = asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
    assert isinstance(result, Transcription)
    segments = [event for event in events if isinstance(event, Segment)]
    assert list(result.segments) == segments
    done_s = [event.done_s for event in events if isinstance(event, Progress)]
    assert done_s == sorted(done_s)
    assert done_s[-1] == pytest.approx(result.duration_s, abs=8.5), "the last chunk ends in the last pause"
    assert plain(result.text).count(SPOKEN) == 4


def test_segments_have_their_windows_values(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    options = TranscriptionOptions(token_logprobs=True, decoding=GREEDY.decoding)
    result = run_transcribe(transcriber, [speech, pause(20), speech], options)
    first, last = result.segments[0], result.segments[-1]
    assert first.window.start == pytest.approx(0.0, abs=0.5)
    assert last.window.start == pytest.approx(31, abs=1.0), "where the second chunk was cut"
    assert {segment.window.temperature for segment in result.segments} == {0.0}
    for segment in result.segments:
        assert -1.0 < segment.window.avg_logprob < 0.0
        assert 0.5 < segment.window.compression_ratio < 2.4
        assert 0.0 <= segment.window.no_speech_prob < 0.6
        assert b"".join(item.token for item in segment.token_logprobs).decode() == segment.text
        assert all(-20.0 < item.logprob <= 0.0 for item in segment.token_logprobs)


def test_a_prompt_sets_the_style(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    """Whisper follows the style of the text before: without punctuation in it, there is little behind it."""
    plain_style = (
        "and so we spoke all day long about this and that and never once did anybody stop to take a breath"
    )
    result = run_transcribe(transcriber, [speech], replace(GREEDY, prompt=plain_style))
    assert result.text != run_transcribe(transcriber, [speech]).text
    assert SPOKEN in plain(result.text)


@pytest.mark.parametrize(("compiles_each_shape", "step"), [(True, 200), (False, 50)])
def test_a_window_is_hardly_longer_than_its_audio_unless_each_length_is_compiled(
    model: WatchedModel, tiny_en_loaded: Loaded, speech: Waveform, compiles_each_shape: bool, step: int
) -> None:
    whisper, tokenizer, info = tiny_en_loaded
    loaded = whisper, tokenizer, replace(info, compiles_each_shape=compiles_each_shape)
    with contextmanager(running)(model, loaded) as transcriber:
        run_transcribe(transcriber, [speech])
    n_needed = len(speech) / HOP_LENGTH + 100 * PADDING_S
    assert model.n_frames == [step * math.ceil(n_needed / step)]


def test_health_has_the_model_info(transcriber: BatchingTranscriber) -> None:
    health = transcriber.health()
    assert health.state == "ready"
    assert health.model is not None
    assert (health.model.device, health.model.dtype, health.model.is_multilingual) == ("cpu", "float32", False)
