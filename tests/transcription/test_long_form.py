"""The long form of one request, with a model that follows a script."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.errors import EngineError, EngineUnavailable, InvalidAudio
from hf_asr_endpoint.transcription.fallback import MAX_ATTEMPTS_FOR_SKIPPED_SPEECH
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.types import TranscriptionOptions
from tests.api.conftest import wait_for
from tests.transcription.scripted import BEGIN, Decoded, Scene, at, chunk, comparable, words

WHOLE = ((0.0, 10.0),)  # speech in all of ten seconds


def test_without_chunks_there_is_no_text(scene: Scene) -> None:
    assert scene.run([]) == []
    assert scene.request.is_cancelled, "nothing of it may stay behind"


def test_a_chunk_is_freed_when_it_is_done(scene: Scene) -> None:
    """In a cycle of references its 3 MB stayed until the collector came: 100 MB in an hour's recording."""

    def spectrograms() -> set[ChunkSpectrogram]:
        return {found for found in gc.get_objects() if type(found) is ChunkSpectrogram}

    gc.collect()
    others = spectrograms()
    gc.disable()
    try:
        scene.run([chunk(10, offset_s=10 * n) for n in range(3)], *[Decoded((at(0), 7, at(9.5)))] * 3)
        # The engine's thread lets go of the last one a moment later.
        wait_for(lambda: spectrograms() <= others)
    finally:
        gc.enable()


def test_times_begin_at_the_chunks_offset(scene: Scene) -> None:
    speech = ((0.0, 4.5), (9.4, 9.9))
    chunks = [chunk(10, offset_s=100, speech=speech), chunk(10, offset_s=200, speech=speech)]
    script = Decoded((at(0), 7, 8, at(9.5))), Decoded((at(1), 9, at(4), at(4), 10, at(10)))
    assert comparable(scene.run(chunks, *script)) == [
        (100, 109.5, (7, 8)),
        (201, 204, (9,)),
        (204, 210, (10,)),
    ]


def test_chunks_keep_their_order_however_long_each_takes(scene: Scene) -> None:
    script = [Decoded((at(0), *words(5 * (6 - n)), at(10))) for n in range(6)]
    result = scene.run([chunk(10, offset_s=10 * n) for n in range(6)], *script)
    assert [timed.start for timed in result] == [0, 10, 20, 30, 40, 50]
    assert [len(timed.tokens) - 2 for timed in result] == [30, 25, 20, 15, 10, 5]


def test_windows_have_the_length_of_the_audio_and_its_padding(scene: Scene) -> None:
    lengths = [1.0, 2.5, 30.0]
    scene.run([chunk(seconds) for seconds in lengths], *(Decoded((at(0), 7, at(seconds))) for seconds in lengths))
    assert scene.model.frames == [800, 1_000, 3_000]


def test_speech_after_the_last_timestamp_gets_another_window(scene: Scene) -> None:
    script = Decoded((at(0), 7, at(3), at(3), 8, at(6))), Decoded((at(0.5), 9, at(4)))
    result = scene.run([chunk(10, offset_s=50, speech=WHOLE)], *script)
    assert comparable(result) == [(50, 53, (7,)), (53, 56, (8,)), (56.5, 60, (9,))]
    assert scene.model.frames == [1_600, 1_000]


def test_a_short_last_word_is_transcribed(scene: Scene) -> None:
    """Behind "he does not" came 0.9 s of speech, taken for the end of "not", and "visit often" was lost."""
    script = Decoded((at(0), *words(4), at(4))), Decoded((at(0), 9, at(0.7)))
    result = scene.run([chunk(10, speech=((0.0, 4.7),))], *script)
    assert comparable(result) == [(0, 4, words(4)), (4, 4.7, (9,))]


def test_a_last_word_with_an_early_timestamp_is_not_repeated(scene: Scene) -> None:
    script = Decoded((at(0), *words(4), at(4))), Decoded((at(0), *words(4)[2:], at(0.7)))
    assert comparable(scene.run([chunk(10, speech=((0.0, 4.7),))], *script)) == [(0, 4, words(4))]


def test_words_said_twice_are_transcribed_twice(scene: Scene) -> None:
    script = Decoded((at(0), *words(4), at(4))), Decoded((at(0), *words(4)[2:], at(1.2)))
    result = scene.run([chunk(10, speech=((0.0, 5.2),))], *script)
    assert comparable(result) == [(0, 4, words(4)), (4, 5.2, words(4)[2:])]


def test_a_short_answer_after_a_pause_is_kept(scene: Scene) -> None:
    """A second "No." was dropped."""
    script = Decoded((at(0), *words(4), at(3))), Decoded((at(0.6), *words(4)[3:], at(1.5)))
    result = scene.run([chunk(10, speech=((0.0, 3.0), (3.7, 4.5)))], *script)
    assert comparable(result) == [(0, 3, words(4)), (3.6, 4.5, words(4)[3:])]


def test_a_short_chunk_keeps_a_text_without_letters(scene: Scene) -> None:
    assert comparable(scene.run([chunk(0.9)], Decoded((at(0), 7, at(0.8))))) == [(0, 0.8, (7,))]


def test_a_chunk_may_have_three_windows(scene: Scene) -> None:
    script = [Decoded((at(0), 7 + n, at(3))) for n in range(3)]
    result = scene.run([chunk(10, speech=((0.0, 9.4),))], *script)
    assert comparable(result) == [(0, 3, (7,)), (3, 6, (8,)), (6, 9, (9,))]


@pytest.mark.parametrize(
    ("speech", "tokens"),
    [
        pytest.param(((0, 6.4),), (at(0), 7, at(3), at(3), 8, at(6)), id="hardly any speech behind"),
        pytest.param(((0, 3), (7.4, 7.6), (8.2, 8.4)), (at(0), 7, at(6)), id="scraps of speech behind"),
        pytest.param(((0, 10),), (at(0), 7, at(0.4)), id="hardly any progress"),
        pytest.param(((0, 10),), (at(0), 7, 8), id="no end"),
        pytest.param(((0, 10),), (), id="no text"),
        pytest.param(((0, 10),), (at(0), 7, at(4), at(4), 8), id="last words without an end"),
    ],
)
def test_one_window_is_enough(
    scene: Scene, speech: tuple[tuple[float, float], ...], tokens: tuple[int, ...]
) -> None:
    result = scene.run([chunk(10, speech=speech)], Decoded(tokens))
    text = tuple(token for timed in result for token in timed.tokens if token < BEGIN)
    assert text == tuple(token for token in tokens if token < BEGIN)
    assert len(scene.model.frames) == 1


def test_words_without_an_end_timestamp_end_with_the_chunk(scene: Scene) -> None:
    chunks = [chunk(10, offset_s=5, speech=((0.0, 4.0), (4.5, 5.0), (9.5, 10.0)))]
    result = scene.run(chunks, Decoded((at(0), 7, at(4), at(4.5), 8)))
    assert comparable(result) == [(5, 9, (7,)), (9.5, 15, (8,))]


def test_text_cut_off_by_max_new_tokens_is_decoded_in_another_window(scene: Scene) -> None:
    options = TranscriptionOptions(language="en", decoding=DecodingOptions.from_flat(max_new_tokens=5))
    script = Decoded((at(0), 7, at(4), at(4), 8, 9, at(8))), Decoded((at(0), 8, 9, at(4.5)))
    result = scene.run([chunk(10, speech=((0.0, 8.5),))], *script, options=options)
    assert comparable(result) == [(0, 4, (7,)), (4, 8.5, (8, 9))]


def test_a_failed_window_is_decoded_whole_then_at_higher_temperatures(scene: Scene) -> None:
    unlikely, good = Decoded((at(0), 6, at(2)), avg_logprob=-1.5), Decoded((at(0), 7, at(2)))
    result = scene.run([chunk(2)], unlikely, unlikely, unlikely, good)
    assert comparable(result) == [(0, 2, (7,))]
    assert scene.model.frames == [800, 3_000]
    assert [state.rules.temperature for state in scene.model.states] == [0.0, 0.0, 0.2, 0.4]


def test_a_chunk_of_30_s_is_not_decoded_twice_at_temperature_0(scene: Scene) -> None:
    unlikely, good = Decoded((at(0), 6, at(30)), avg_logprob=-1.5), Decoded((at(0), 7, at(30)))
    scene.run([chunk(30)], unlikely, good)
    assert [state.rules.temperature for state in scene.model.states] == [0.0, 0.2]
    assert scene.model.frames == [3_000]


def test_a_long_segment_with_little_text_is_decoded_again(scene: Scene) -> None:
    """The model sometimes goes on to a later time without the words, and is sure of itself."""
    script = Decoded((at(0), 7, at(10))), Decoded((at(0), *words(20), at(10)), avg_logprob=-0.5)
    result = scene.run([chunk(10, speech=WHOLE)], *script)
    assert comparable(result) == [(0, 10, words(20))]
    assert scene.model.frames == [1_600, 3_000]


@pytest.mark.parametrize(
    "skipping",
    [
        pytest.param((at(0), 7, at(4), at(5.2), 8, at(10)), id="between segments"),
        pytest.param((at(1.2), 7, at(5), at(5), 8, at(10)), id="before the first"),
    ],
)
def test_speech_outside_all_segments_is_decoded_again(scene: Scene, skipping: tuple[int, ...]) -> None:
    chunks = [chunk(10, speech=((0.0, 4.0), (4.0, 5.2), (9.0, 10.0)))]
    result = scene.run(chunks, Decoded(skipping), Decoded((at(0), *words(20), at(10)), avg_logprob=-0.5))
    assert comparable(result) == [(0, 10, words(20))]


def test_attempts_for_speech_that_vad_made_up_are_limited(scene: Scene) -> None:
    scene.run([chunk(10, speech=WHOLE)], *[Decoded((at(0), 7, at(10)))] * MAX_ATTEMPTS_FOR_SKIPPED_SPEECH)


def test_silence_has_no_text_and_no_further_window(scene: Scene) -> None:
    silence = Decoded((at(0), 6, at(2)), avg_logprob=-1.5, no_speech_prob=0.9)
    cut = whole = silence  # windows
    assert scene.run([chunk(10)], cut, whole) == []


def test_no_more_chunks_than_allowed_are_in_memory(scene: Scene) -> None:
    n_taken = 0

    def chunks() -> Iterator[Chunk]:
        nonlocal n_taken
        for n in range(20):
            n_taken += 1
            yield chunk(1, offset_s=n)

    def record() -> None:
        assert n_taken <= len(scene.model.states) + 3

    scene.model.on_prefill = record
    scene.model.script = [Decoded((at(0), 7, at(1)))] * 20
    assert len(list(scene.segments(chunks(), max_ahead=3))) == 20


def test_an_error_of_the_audio_is_raised_and_cancels_the_request(scene: Scene) -> None:
    def broken() -> Iterator[Chunk]:
        yield chunk(10)
        raise InvalidAudio("cut off")

    scene.model.script = [Decoded((at(0), *words(200)))]
    with pytest.raises(InvalidAudio, match="cut off"):
        list(scene.segments(broken()))
    assert scene.request.is_cancelled


def test_a_model_error_ends_the_request(scene: Scene) -> None:
    scene.model.inner.fail("decode_step", ValueError("odd"))
    scene.model.script = [Decoded((at(0), 7, at(10)))] * 3
    with pytest.raises(EngineError, match="the model failed: ValueError: odd"):
        list(scene.segments([chunk(10)] * 3))
    assert scene.request.is_cancelled


def test_a_closed_engine_ends_the_request(scene: Scene) -> None:
    scene.engine.close()
    with pytest.raises(EngineUnavailable, match="shutting down"):
        list(scene.segments([chunk(10)]))


def test_a_cancelled_request_ends(scene: Scene) -> None:
    scene.model.on_prefill = scene.request.token.cancel
    scene.model.script = [Decoded((at(0), 7, at(10)))]
    with pytest.raises(EngineUnavailable, match="request was cancelled"):
        list(scene.segments([chunk(10)]))
