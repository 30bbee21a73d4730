"""The batching engine on real weights, through the Transcriber seam."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.model import SpeechModel
from hf_asr_endpoint.errors import EngineError, EngineUnavailable, InvalidAudio, InvalidParameter
from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.transcription.transcriber import transcribe
from hf_asr_endpoint.types import (
    DecodingOptions,
    ModelInfo,
    Segment,
    Transcription,
    TranscriptionOptions,
    Waveform,
)
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.speech_model import load_speech_model
from hf_asr_endpoint.whisper.tokenizer import WhisperTokenizer
from tests.conftest import DATA
from tests.fakes import DEADLINE_S

pytestmark = pytest.mark.usefixtures("one_thread")

N_SLOTS = 8
GREEDY = TranscriptionOptions(decoding=DecodingOptions(temperatures=(0.0,)))
SPOKEN = "ask not what your country can do for you"

Loaded = tuple[SpeechModel, WhisperTokenizer, ModelInfo]


class Watched:
    """A SpeechModel that counts, and that fails or waits when a test wants it to."""

    def __init__(self, model: SpeechModel) -> None:
        self._model = model
        self.failure: BaseException | None = None
        self.n_windows = 0
        self.n_steps = 0
        self.busy: set[int] = set()
        self.is_stepping = threading.Event()
        self.may_step = threading.Event()
        self.may_step.set()

    def encode(self, windows: dict[int, object]) -> None:
        self.n_windows += len(windows)
        self.busy |= windows.keys()
        self._model.encode(windows)

    def prefill(self, states: dict[int, object]) -> None:
        self._model.prefill(states)

    def decode_step(self, states: dict[int, object]) -> None:
        self.n_steps += 1
        self.is_stepping.set()
        assert self.may_step.wait(DEADLINE_S)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self._model.decode_step(states)

    def free(self, slot: int) -> None:
        self.busy.discard(slot)
        self._model.free(slot)


@pytest.fixture(scope="module")
def tiny_en_loaded(tiny_en_directory: Path) -> Loaded:
    return load_speech_model(tiny_en_directory, device="cpu", dtype="float32", n_slots=N_SLOTS)


@pytest.fixture(scope="module")
def base_loaded(base_directory: Path) -> Loaded:
    return load_speech_model(base_directory, device="cpu", dtype="float32", n_slots=N_SLOTS)


@pytest.fixture
def model(tiny_en_loaded: Loaded) -> Watched:
    return Watched(tiny_en_loaded[0])


@pytest.fixture
def transcriber(model: Watched, tiny_en_loaded: Loaded) -> Iterator[BatchingTranscriber]:
    yield from running(model, tiny_en_loaded)


@pytest.fixture
def base_model(base_loaded: Loaded) -> Watched:
    return Watched(base_loaded[0])


@pytest.fixture
def multilingual(base_model: Watched, base_loaded: Loaded) -> Iterator[BatchingTranscriber]:
    yield from running(base_model, base_loaded)


def running(model: SpeechModel, loaded: Loaded) -> Iterator[BatchingTranscriber]:
    _, tokenizer, info = loaded
    transcriber = BatchingTranscriber(
        Engine(model, n_slots=N_SLOTS),
        tokenizer,
        info,
        n_requests=8,
        n_ahead=2 * N_SLOTS,
        padding_s=6.0,
        max_beams=N_SLOTS,
    )
    yield transcriber
    transcriber.close()


async def ask(
    transcriber: BatchingTranscriber, waveform: Iterable[Waveform], options: TranscriptionOptions = GREEDY
) -> Transcription:
    async with asyncio.timeout(2 * DEADLINE_S):
        return await transcribe(transcriber, waveform, options)


def hear(
    transcriber: BatchingTranscriber, waveform: Iterable[Waveform], options: TranscriptionOptions = GREEDY
) -> Transcription:
    return asyncio.run(ask(transcriber, waveform, options))


def told(result: Transcription) -> list[tuple[float, float, str, tuple[int, ...]]]:
    """Return what must not depend on who else is there; log-probabilities may, in their last digits."""
    return [(segment.start, segment.end, segment.text, segment.tokens) for segment in result.segments]


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def pause(seconds: float) -> Waveform:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def read(name: str) -> list[Waveform]:
    with (DATA / name).open("rb") as file:
        return list(decode_audio(file))


def test_text_times_and_language(transcriber: BatchingTranscriber, speech: Waveform, model: Watched) -> None:
    result = hear(transcriber, [speech])
    assert SPOKEN in plain(result.text)
    assert (result.language, result.task) == ("en", "transcribe")
    assert result.duration_s == len(speech) / SAMPLE_RATE
    assert result.segments[0].start == 0.0
    assert 10.0 < result.segments[-1].end <= result.duration_s
    assert model.n_windows == 1
    assert model.busy == set()


def test_blocks_of_any_size_give_the_same(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    whole = hear(transcriber, [speech])
    assert hear(transcriber, (speech[i : i + 3_001] for i in range(0, len(speech), 3_001))) == whole


def test_speech_past_the_window_is_transcribed_whole_with_times_that_go_on(
    transcriber: BatchingTranscriber, speech: Waveform
) -> None:
    result = hear(transcriber, [speech, pause(5)] * 4)
    assert plain(result.text).count(SPOKEN) == 4
    starts = [segment.start for segment in result.segments]
    assert starts == sorted(starts)
    assert len({int(start) // 16 for start in starts}) == 4
    assert starts[-1] >= 48 - 0.5
    assert all(segment.start <= segment.end <= result.duration_s for segment in result.segments)


@pytest.mark.parametrize("max_chunk_s", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("conditioned", [False, True])
def test_no_segment_is_longer_than_the_longest_chunk(
    transcriber: BatchingTranscriber, speech: Waveform, max_chunk_s: float, conditioned: bool
) -> None:
    options = replace(GREEDY, max_chunk_s=max_chunk_s, condition_on_previous_text=conditioned)
    result = hear(transcriber, [speech], options)
    assert all(round(segment.end - segment.start, 2) <= max_chunk_s for segment in result.segments)
    starts = [segment.start for segment in result.segments]
    assert starts == sorted(starts)
    assert len(starts) >= 9 / max_chunk_s
    assert "for you" in plain(result.text)
    assert result.segments[-1].end > 9


def test_many_at_once_have_the_answers_they_have_alone(
    transcriber: BatchingTranscriber, speech: Waveform, model: Watched
) -> None:
    pieces = [[speech[: n * SAMPLE_RATE]] for n in (2, 5, 11)]
    pieces += [[speech, pause(5), speech, pause(5), speech[: 4 * SAMPLE_RATE]]]
    alone = [hear(transcriber, piece) for piece in pieces]
    n_steps_alone, model.n_steps = model.n_steps, 0

    async def together() -> list[Transcription]:
        return await asyncio.gather(*(ask(transcriber, piece) for piece in pieces))

    assert [told(result) for result in asyncio.run(together())] == [told(result) for result in alone]
    assert model.n_steps < n_steps_alone, "they were decoded side by side"


@pytest.mark.parametrize("n_samples", [0, 1, 159, 1_599])
def test_a_scrap_of_sound_has_no_text(transcriber: BatchingTranscriber, n_samples: int) -> None:
    result = hear(transcriber, [np.full(n_samples, 0.1, np.float32)])
    assert result.segments == ()
    assert result.duration_s == n_samples / SAMPLE_RATE


def test_silence_has_no_text_and_no_window(multilingual: BatchingTranscriber, base_model: Watched) -> None:
    result = hear(multilingual, [pause(40)])
    assert (result.segments, result.language, result.duration_s) == ((), "en", 40.0)
    assert base_model.n_windows == 0


def test_the_language_is_detected_once_in_the_first_chunk(
    multilingual: BatchingTranscriber, base_model: Watched
) -> None:
    german = np.concatenate(read("fleurs-de-005.ogg"))[: 8 * SAMPLE_RATE]
    result = hear(multilingual, [german, pause(20), german[: 5 * SAMPLE_RATE]])
    assert result.language == "de"
    assert base_model.n_windows == 2, "what was encoded to detect the language is decoded, too"
    given = TranscriptionOptions(language="de", decoding=GREEDY.decoding)
    assert told(hear(multilingual, [german, pause(20), german[: 5 * SAMPLE_RATE]], given)) == told(result)


def test_a_language_given_is_used_and_not_remembered(multilingual: BatchingTranscriber, speech: Waveform) -> None:
    piece = [speech[: 6 * SAMPLE_RATE]]
    german = hear(multilingual, piece, TranscriptionOptions(language="de", decoding=GREEDY.decoding))
    english = hear(multilingual, piece)
    assert (german.language, english.language) == ("de", "en")
    assert german.text != english.text


def test_translation_is_english(multilingual: BatchingTranscriber) -> None:
    options = TranscriptionOptions(task="translate", decoding=GREEDY.decoding)
    result = hear(multilingual, read("fleurs-es-002.ogg"), options)
    assert (result.language, result.task) == ("es", "translate")
    assert {"the", "people"} <= set(plain(result.text).split())


def test_what_the_model_cannot_follow_is_refused(transcriber: BatchingTranscriber) -> None:
    with pytest.raises(InvalidParameter, match="English-only"):
        hear(transcriber, [], TranscriptionOptions(language="de"))


def test_sampling_gives_equal_answers_to_equal_requests(
    transcriber: BatchingTranscriber, speech: Waveform
) -> None:
    options = TranscriptionOptions(decoding=DecodingOptions(temperatures=(1.0,), logprob_threshold=None))
    first = hear(transcriber, [speech], options)

    async def together() -> list[Transcription]:
        pieces = [[speech[: 3 * SAMPLE_RATE]], [speech]]
        return await asyncio.gather(*(ask(transcriber, piece, options) for piece in pieces))

    assert told(asyncio.run(together())[1]) == told(first)
    assert first != hear(transcriber, [speech])


def test_a_limit_of_tokens_holds(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    options = TranscriptionOptions(decoding=DecodingOptions(temperatures=(0.0,), max_new_tokens=6))
    result = hear(transcriber, [speech[: 4 * SAMPLE_RATE]], options)
    assert 0 < sum(len(segment.tokens) for segment in result.segments) <= 6


def test_a_window_that_fails_is_tried_whole_and_then_warmer(
    transcriber: BatchingTranscriber, speech: Waveform, model: Watched
) -> None:
    impossible = DecodingOptions(temperatures=(0.0, 0.2), logprob_threshold=0.0, no_speech_threshold=None)
    result = hear(transcriber, [speech[: 4 * SAMPLE_RATE]], TranscriptionOptions(decoding=impossible))
    assert model.n_windows == 2, "cut, then whole; the warmer one needs no other window"
    assert result.text


def test_what_the_waveform_raises_is_raised(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    def broken() -> Iterator[Waveform]:
        yield np.concatenate([speech, pause(5)] * 3)
        raise InvalidAudio("cut off")

    with pytest.raises(InvalidAudio, match="cut off"):
        hear(transcriber, broken())
    assert SPOKEN in plain(hear(transcriber, [speech]).text)


def test_a_failure_of_the_model_is_an_engine_error_and_the_next_request_works(
    transcriber: BatchingTranscriber, speech: Waveform, model: Watched
) -> None:
    model.failure = MemoryError("no room")
    with pytest.raises(EngineError, match="the model failed: MemoryError: no room"):
        hear(transcriber, [speech])
    assert transcriber.health().state == "ready"
    assert SPOKEN in plain(hear(transcriber, [speech]).text)


def test_an_engine_that_dies_shows_in_health_and_ends_every_request(
    transcriber: BatchingTranscriber, speech: Waveform, model: Watched
) -> None:
    model.failure = SystemExit("gone")

    async def together() -> list[Transcription | BaseException]:
        return await asyncio.gather(*(ask(transcriber, [speech]) for _ in range(3)), return_exceptions=True)

    results = asyncio.run(together())
    assert [type(result) for result in results] == [EngineUnavailable] * 3
    health = transcriber.health()
    assert (health.state, health.detail) == ("failed", "the engine has stopped: SystemExit: gone")
    with pytest.raises(EngineUnavailable, match="SystemExit"):
        hear(transcriber, [speech])


def test_cancelling_frees_the_slots_within_a_step(
    transcriber: BatchingTranscriber, speech: Waveform, model: Watched
) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(transcribe(transcriber, [np.concatenate([speech, pause(5)] * 3)], GREEDY))
        model.may_step.clear()
        await asyncio.to_thread(model.is_stepping.wait, DEADLINE_S)
        n_steps = model.n_steps
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)  # The request is told while the engine is in the middle of a step.
        model.may_step.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert model.n_steps == n_steps, "there was no other step"
        assert (await ask(transcriber, [speech[: 2 * SAMPLE_RATE]])).text

    asyncio.run(scenario())
    assert model.busy == set()


def test_nothing_reads_the_waveform_once_the_call_has_ended(transcriber: BatchingTranscriber) -> None:
    is_reading = threading.Event()
    n_taken = 0

    def endless() -> Iterator[Waveform]:
        nonlocal n_taken
        while True:
            n_taken += 1
            is_reading.set()
            yield np.zeros(16_000, np.float32)

    async def scenario() -> int:
        task = asyncio.create_task(transcribe(transcriber, endless(), GREEDY))
        await asyncio.to_thread(is_reading.wait, DEADLINE_S)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return n_taken

    at_the_end = asyncio.run(scenario())
    assert hear(transcriber, [pause(1)]).text == ""
    assert n_taken == at_the_end


def test_segments_are_told_in_order_and_then_the_whole(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    async def scenario() -> list[Segment | Transcription]:
        return [event async for event in transcriber.stream([speech, pause(8)] * 4, GREEDY)]

    *segments, result = asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
    assert isinstance(result, Transcription)
    assert list(result.segments) == segments
    assert plain(result.text).count(SPOKEN) == 4


def test_segments_are_told_before_the_end_is_there_and_a_listener_that_leaves_stops_the_work(
    transcriber: BatchingTranscriber, speech: Waveform, model: Watched
) -> None:
    n_taken = 0

    def endless() -> Iterator[Waveform]:
        nonlocal n_taken
        while True:
            n_taken += 1
            yield np.concatenate([speech, pause(8)])

    async def scenario() -> int:
        async with aclosing(transcriber.stream(endless(), GREEDY)) as events:
            async for _ in events:
                break
        return n_taken

    at_the_end = asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
    assert SPOKEN in plain(hear(transcriber, [speech]).text)
    assert n_taken == at_the_end
    assert model.busy == set()


def test_segments_tell_of_their_window(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    options = TranscriptionOptions(token_logprobs=True, decoding=GREEDY.decoding)
    result = hear(transcriber, [speech, pause(20), speech], options)
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


def test_a_prompt_is_spelt_as_given(transcriber: BatchingTranscriber, speech: Waveform) -> None:
    """Whisper follows the style of the text before: without punctuation in it, there is little behind it."""
    plain_style = (
        "and so we spoke all day long about this and that and never once did anybody stop to take a breath"
    )
    result = hear(transcriber, [speech], replace(GREEDY, prompt=plain_style))
    assert result.text != hear(transcriber, [speech]).text
    assert SPOKEN in plain(result.text)


def test_closing_ends_running_and_waiting_requests(
    transcriber: BatchingTranscriber, speech: Waveform, model: Watched
) -> None:
    model.may_step.clear()

    async def scenario() -> list[Transcription | BaseException]:
        tasks = [asyncio.create_task(transcribe(transcriber, [speech], GREEDY)) for _ in range(12)]
        await asyncio.to_thread(model.is_stepping.wait, DEADLINE_S)
        closing = asyncio.create_task(asyncio.to_thread(transcriber.close))
        while transcriber.health().state == "ready":
            await asyncio.sleep(0)
        model.may_step.set()
        await closing
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
    assert [type(result) for result in results] == [EngineUnavailable] * 12
    assert transcriber.health().detail == "the server is shutting down"
    with pytest.raises(EngineUnavailable, match="shutting down"):
        hear(transcriber, [speech])


def test_health_tells_of_the_model(transcriber: BatchingTranscriber) -> None:
    health = transcriber.health()
    assert health.state == "ready"
    assert health.model is not None
    assert (health.model.device, health.model.dtype, health.model.is_multilingual) == ("cpu", "float32", False)
