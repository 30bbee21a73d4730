"""The reference engine on real weights, through the Transcriber seam."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.errors import EngineError, EngineUnavailable, InvalidAudio, InvalidParameter
from hf_asr_endpoint.transcription.reference import ReferenceTranscriber
from hf_asr_endpoint.transcription.transcriber import transcribe
from hf_asr_endpoint.types import DecodingOptions, Transcription, TranscriptionOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.checkpoint import WhisperCheckpoint
from tests.conftest import DATA

DEADLINE_S = 60.0
GREEDY = DecodingOptions(temperatures=(0.0,), num_beams=1)
SPOKEN = "ask not what your country can do for you"


def hear(
    transcriber: ReferenceTranscriber, waveform: Iterable[Waveform], options: TranscriptionOptions | None = None
) -> Transcription:
    options = options or TranscriptionOptions(decoding=GREEDY)
    return asyncio.run(asyncio.wait_for(transcribe(transcriber, waveform, options), DEADLINE_S))


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def test_text_times_and_language(base: ReferenceTranscriber, speech: Waveform) -> None:
    result = hear(base, [speech])
    assert SPOKEN in plain(result.text)
    assert result.language == "en"
    assert result.duration_s == pytest.approx(11.0, abs=0.05)
    assert result.segments[0].start == 0.0
    assert 10.0 < result.segments[-1].end <= result.duration_s


def test_blocks_of_any_size_give_the_same(base: ReferenceTranscriber, speech: Waveform) -> None:
    whole = hear(base, [speech])
    assert hear(base, (speech[i : i + 3_001] for i in range(0, len(speech), 3_001))) == whole


def test_speech_past_the_window_is_transcribed_whole_with_times_that_go_on(
    tiny_en: ReferenceTranscriber, speech: Waveform
) -> None:
    pause = np.zeros(SAMPLE_RATE, np.float32)
    result = hear(tiny_en, [speech, pause] * 4)
    assert plain(result.text).count(SPOKEN) == 4
    starts = [segment.start for segment in result.segments]
    assert starts == sorted(starts)
    assert starts[-1] > 36
    assert all(segment.start <= segment.end <= result.duration_s for segment in result.segments)


def test_a_language_given_is_used_and_not_remembered(base: ReferenceTranscriber, speech: Waveform) -> None:
    """Languages stuck between calls of `generate` (transformers issue 27629)."""
    german = hear(base, [speech], TranscriptionOptions(language="de", decoding=GREEDY))
    assert german.language == "de"
    english = hear(base, [speech])
    assert english.language == "en"
    assert german.text != english.text


def test_translation_is_english(base: ReferenceTranscriber) -> None:
    with (DATA / "fleurs-es-002.ogg").open("rb") as file:
        waveform = list(decode_audio(file))
    result = hear(base, waveform, TranscriptionOptions(task="translate", decoding=GREEDY))
    assert (result.language, result.task) == ("es", "translate")
    assert {"the", "people"} <= set(plain(result.text).split())


@pytest.mark.parametrize("n_samples", [1, 159, 1_599], ids=["a sample", "less than a frame", "under 0.1 s"])
def test_a_scrap_of_sound_has_no_text(tiny_en: ReferenceTranscriber, n_samples: int) -> None:
    result = hear(tiny_en, [np.full(n_samples, 0.1, np.float32)])
    assert result.segments == ()
    assert result.duration_s == n_samples / SAMPLE_RATE


def test_what_the_model_cannot_follow_is_refused(tiny_en: ReferenceTranscriber) -> None:
    with pytest.raises(InvalidParameter, match="English-only"):
        hear(tiny_en, [], TranscriptionOptions(language="de"))


@pytest.mark.parametrize(
    "decoding",
    [
        pytest.param(DecodingOptions(temperatures=(0.0,), num_beams=2), id="beams"),
        pytest.param(
            DecodingOptions(temperatures=(0.0,), num_beams=2, early_stopping="never"), id="never stop early"
        ),
        pytest.param(
            DecodingOptions(temperatures=(0.0,), num_beams=2, beam_temperature=0.5), id="beam temperature"
        ),
        pytest.param(DecodingOptions(temperatures=(0.0,), num_beams=1, use_cache=False), id="no cache"),
        pytest.param(DecodingOptions(temperatures=(0.8,), num_beams=1, top_k=1), id="top_k 1 is greedy"),
        pytest.param(DecodingOptions(temperatures=(0.8,), num_beams=1, top_p=1e-6), id="top_p 0 is greedy"),
        pytest.param(DecodingOptions(temperatures=(0.01,), num_beams=1), id="cold sampling"),
    ],
)
def test_ways_to_decode_that_end_in_the_same_words(
    tiny_en: ReferenceTranscriber, speech: Waveform, decoding: DecodingOptions
) -> None:
    assert SPOKEN in plain(hear(tiny_en, [speech], TranscriptionOptions(decoding=decoding)).text)


@pytest.mark.parametrize(
    "decoding",
    [
        pytest.param(DecodingOptions(temperatures=(3.0,), num_beams=1), id="hot"),
        pytest.param(DecodingOptions(temperatures=(1.0,), num_beams=1, typical_p=0.05), id="typical"),
    ],
)
def test_options_that_change_the_result(
    tiny_en: ReferenceTranscriber, speech: Waveform, decoding: DecodingOptions
) -> None:
    changed = hear(tiny_en, [speech], TranscriptionOptions(decoding=decoding))
    assert changed.text != hear(tiny_en, [speech]).text


@pytest.mark.parametrize(
    "decoding",
    [
        pytest.param(DecodingOptions(temperatures=(0.0,), num_beams=1, max_new_tokens=6), id="max_new_tokens"),
        pytest.param(
            DecodingOptions(temperatures=(0.0,), num_beams=1, max_length=7), id="max_length, prompt of one"
        ),
    ],
)
def test_a_limit_of_tokens_holds(
    tiny_en: ReferenceTranscriber, speech: Waveform, decoding: DecodingOptions
) -> None:
    result = hear(tiny_en, [speech], TranscriptionOptions(decoding=decoding))
    assert 0 < sum(len(segment.tokens) for segment in result.segments) <= 6


def test_sampling_gives_equal_answers_to_equal_requests(tiny_en: ReferenceTranscriber, speech: Waveform) -> None:
    options = TranscriptionOptions(decoding=DecodingOptions(temperatures=(1.0,), num_beams=1))
    first = hear(tiny_en, [speech], options)
    hear(tiny_en, [speech[:SAMPLE_RATE]], options)
    assert hear(tiny_en, [speech], options) == first


def test_many_at_once_have_the_answers_they_have_alone(tiny_en: ReferenceTranscriber, speech: Waveform) -> None:
    pieces = [speech[: n * SAMPLE_RATE] for n in (3, 6, 11)]

    async def together() -> list[Transcription]:
        options = TranscriptionOptions(decoding=GREEDY)
        return await asyncio.gather(*(transcribe(tiny_en, [piece], options) for piece in pieces))

    assert asyncio.run(together()) == [hear(tiny_en, [piece]) for piece in pieces]


def test_what_the_waveform_raises_is_raised(tiny_en: ReferenceTranscriber) -> None:
    def broken() -> Iterator[Waveform]:
        yield np.zeros(100, np.float32)
        raise InvalidAudio("cut off")

    with pytest.raises(InvalidAudio, match="cut off"):
        hear(tiny_en, broken())


def test_a_failure_of_the_model_is_an_engine_error_and_the_next_request_works(
    tiny_en: ReferenceTranscriber, speech: Waveform
) -> None:
    impossible = TranscriptionOptions(decoding=DecodingOptions(max_new_tokens=100_000))
    with pytest.raises(EngineError, match="the model failed: ValueError"):
        hear(tiny_en, [speech], impossible)
    assert SPOKEN in plain(hear(tiny_en, [speech]).text)


def test_cancelling_stops_the_work_and_the_next_request_is_served(
    tiny_en: ReferenceTranscriber, speech: Waveform
) -> None:
    """Ten minutes of audio would keep the engine busy for far longer than this test may take."""

    complaints: list[dict[str, Any]] = []

    async def scenario() -> Transcription:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        long = asyncio.create_task(
            transcribe(tiny_en, [speech] * 55, TranscriptionOptions(decoding=DecodingOptions(min_new_tokens=400)))
        )
        begun = asyncio.create_task(transcribe(tiny_en, [speech[:100]], TranscriptionOptions()))
        await asyncio.wait([begun], timeout=1.0)  # By now the long one is being decoded.
        long.cancel()
        await asyncio.wait([long])
        assert long.cancelled()
        del long
        gc.collect()  # asyncio complains of an exception that nobody looked at when it is thrown away.
        await begun
        return await transcribe(tiny_en, [speech], TranscriptionOptions(decoding=GREEDY))

    assert SPOKEN in plain(asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S)).text)
    gc.collect()
    assert complaints == []


def test_nothing_reads_the_waveform_once_the_call_has_ended(tiny_en: ReferenceTranscriber) -> None:
    is_reading = threading.Event()
    n_taken = 0

    def endless() -> Iterator[Waveform]:
        nonlocal n_taken
        while True:
            n_taken += 1
            is_reading.set()
            yield np.zeros(160, np.float32)

    async def scenario() -> tuple[int, int]:
        task = asyncio.create_task(transcribe(tiny_en, endless(), TranscriptionOptions()))
        await asyncio.to_thread(is_reading.wait, DEADLINE_S)
        task.cancel()
        await asyncio.wait([task])
        at_the_end = n_taken
        await asyncio.sleep(0.05)
        return at_the_end, n_taken

    at_the_end, later = asyncio.run(scenario())
    assert at_the_end == later


def test_closing_ends_running_and_waiting_requests(
    tiny_en_checkpoint: WhisperCheckpoint, speech: Waveform
) -> None:
    transcriber = ReferenceTranscriber(tiny_en_checkpoint)

    async def scenario() -> list[Transcription | BaseException]:
        tasks = [
            asyncio.create_task(transcribe(transcriber, [speech] * 20, TranscriptionOptions())) for _ in range(5)
        ]
        await asyncio.wait(tasks, timeout=0.5)
        await asyncio.to_thread(transcriber.close)
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
    assert [type(result) for result in results] == [EngineUnavailable] * 5
    assert transcriber.health().state == "failed"
    with pytest.raises(EngineUnavailable):
        hear(transcriber, [speech])


def test_health_tells_of_the_model(tiny_en: ReferenceTranscriber) -> None:
    health = tiny_en.health()
    assert health.state == "ready"
    assert health.model is not None
    assert (health.model.device, health.model.dtype, health.model.is_multilingual) == ("cpu", "float32", False)
