"""What one request asks of the engine, and what it makes of the answers, told by a model that follows a script."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.errors import EngineError, EngineUnavailable, InvalidAudio
from hf_asr_endpoint.transcription.fallback import MAX_ATTEMPTS_FOR_SKIPPED_SPEECH
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.types import DecodingOptions, TranscriptionOptions
from tests.transcription.scripted import BEGIN, Heard, Scene, at, chunk, told, words

WHOLE = ((0.0, 10.0),)  # speech in all of ten seconds


def test_no_chunks_no_text(scene: Scene) -> None:
    assert scene.run([]) == []
    assert scene.request.is_cancelled, "nothing of it may stay behind"


def test_a_chunk_is_let_go_when_it_is_done(scene: Scene) -> None:
    """In a cycle of references its 3 MB stayed until the collector came: 100 MB in an hour's recording."""
    gc.collect()
    gc.disable()
    try:
        scene.run([chunk(10, offset_s=10 * n) for n in range(3)], *[Heard((at(0), 7, at(9.5)))] * 3)
        assert not [found for found in gc.get_objects() if type(found) is ChunkSpectrogram]
    finally:
        gc.enable()


def test_times_begin_at_the_chunks_offset(scene: Scene) -> None:
    chunks = [chunk(10, offset_s=100), chunk(10, offset_s=200)]
    script = Heard((at(0), 7, 8, at(9.5))), Heard((at(1), 9, at(4), at(4), 10, at(10)))
    assert told(scene.run(chunks, *script)) == [
        (100, 109.5, (7, 8)),
        (201, 204, (9,)),
        (204, 210, (10,)),
    ]


def test_chunks_keep_their_order_however_long_each_takes(scene: Scene) -> None:
    script = [Heard((at(0), *words(5 * (6 - n)), at(10))) for n in range(6)]
    result = scene.run([chunk(10, offset_s=10 * n) for n in range(6)], *script)
    assert [timed.start for timed in result] == [0, 10, 20, 30, 40, 50]
    assert [len(timed.tokens) - 2 for timed in result] == [30, 25, 20, 15, 10, 5]


def test_windows_are_cut_to_the_audio_and_its_padding(scene: Scene) -> None:
    lengths = [1.0, 2.5, 30.0]
    scene.run([chunk(seconds) for seconds in lengths], *(Heard((at(0), 7, at(seconds))) for seconds in lengths))
    assert scene.model.frames == [800, 1_000, 3_000]


def test_speech_behind_the_last_timestamp_gets_a_window_of_its_own(scene: Scene) -> None:
    script = Heard((at(0), 7, at(3), at(3), 8, at(6))), Heard((at(0.5), 9, at(4)))
    result = scene.run([chunk(10, offset_s=50, speech=WHOLE)], *script)
    assert told(result) == [(50, 53, (7,)), (53, 56, (8,)), (56.5, 60, (9,))]
    assert scene.model.frames == [1_600, 1_000]


def test_the_last_word_is_heard_however_short(scene: Scene) -> None:
    """Behind "he does not" came 0.9 s of speech, taken for the end of "not", and "visit often" was lost."""
    script = Heard((at(0), *words(4), at(4))), Heard((at(0), 9, at(0.7)))
    result = scene.run([chunk(10, speech=((0.0, 4.7),))], *script)
    assert told(result) == [(0, 4, words(4)), (4, 4.7, (9,))]


def test_a_last_word_whose_timestamp_came_early_is_not_heard_twice(scene: Scene) -> None:
    script = Heard((at(0), *words(4), at(4))), Heard((at(0), *words(4)[2:], at(0.7)))
    assert told(scene.run([chunk(10, speech=((0.0, 4.7),))], *script)) == [(0, 4, words(4))]


def test_what_is_said_twice_is_heard_twice(scene: Scene) -> None:
    script = Heard((at(0), *words(4), at(4))), Heard((at(0), *words(4)[2:], at(1.2)))
    result = scene.run([chunk(10, speech=((0.0, 5.2),))], *script)
    assert told(result) == [(0, 4, words(4)), (4, 5.2, words(4)[2:])]


def test_a_short_answer_after_a_pause_is_no_repetition(scene: Scene) -> None:
    """A second "No." was dropped."""
    script = Heard((at(0), *words(4), at(3))), Heard((at(0.6), *words(4)[3:], at(1.5)))
    result = scene.run([chunk(10, speech=((0.0, 3.0), (3.7, 4.5)))], *script)
    assert told(result) == [(0, 3, words(4)), (3.6, 4.5, words(4)[3:])]


def test_a_short_chunk_keeps_a_text_without_letters(scene: Scene) -> None:
    assert told(scene.run([chunk(0.9)], Heard((at(0), 7, at(0.8))))) == [(0, 0.8, (7,))]


def test_a_second_window_may_be_followed_by_a_third(scene: Scene) -> None:
    script = [Heard((at(0), 7 + n, at(3))) for n in range(3)]
    result = scene.run([chunk(10, speech=((0.0, 9.4),))], *script)
    assert told(result) == [(0, 3, (7,)), (3, 6, (8,)), (6, 9, (9,))]


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
def test_a_window_is_enough(
    scene: Scene, speech: tuple[tuple[float, float], ...], tokens: tuple[int, ...]
) -> None:
    result = scene.run([chunk(10, speech=speech)], Heard(tokens))
    text = tuple(token for timed in result for token in timed.tokens if token < BEGIN)
    assert text == tuple(token for token in tokens if token < BEGIN)
    assert len(scene.model.frames) == 1


def test_words_without_an_end_last_until_the_chunk_does(scene: Scene) -> None:
    result = scene.run([chunk(10, offset_s=5)], Heard((at(0), 7, at(4), at(4.5), 8)))
    assert told(result) == [(5, 9, (7,)), (9.5, 15, (8,))]


def test_what_the_limit_of_tokens_cut_off_is_heard_again(scene: Scene) -> None:
    options = TranscriptionOptions(language="en", decoding=DecodingOptions.from_flat(max_new_tokens=5))
    script = Heard((at(0), 7, at(4), at(4), 8, 9, at(8))), Heard((at(0), 8, 9, at(4.5)))
    result = scene.run([chunk(10, speech=((0.0, 8.5),))], *script, options=options)
    assert told(result) == [(0, 4, (7,)), (4, 8.5, (8, 9))]


def test_a_window_that_fails_is_tried_whole_then_warmer(scene: Scene) -> None:
    unlikely, good = Heard((at(0), 6, at(2)), avg_logprob=-1.5), Heard((at(0), 7, at(2)))
    result = scene.run([chunk(2)], unlikely, unlikely, unlikely, good)
    assert told(result) == [(0, 2, (7,))]
    assert scene.model.frames == [800, 3_000]
    assert [state.rules.temperature for state in scene.model.states] == [0.0, 0.0, 0.2, 0.4]


def test_a_chunk_of_a_whole_window_is_not_tried_twice_cold(scene: Scene) -> None:
    unlikely, good = Heard((at(0), 6, at(30)), avg_logprob=-1.5), Heard((at(0), 7, at(30)))
    scene.run([chunk(30)], unlikely, good)
    assert [state.rules.temperature for state in scene.model.states] == [0.0, 0.2]
    assert scene.model.frames == [3_000]


def test_a_long_segment_with_hardly_any_text_is_tried_again(scene: Scene) -> None:
    """The model sometimes goes on to a later time without the words, and is sure of itself."""
    script = Heard((at(0), 7, at(10))), Heard((at(0), *words(20), at(10)), avg_logprob=-0.5)
    result = scene.run([chunk(10, speech=WHOLE)], *script)
    assert told(result) == [(0, 10, words(20))]
    assert scene.model.frames == [1_600, 3_000]


@pytest.mark.parametrize(
    "skipping",
    [
        pytest.param((at(0), 7, at(4), at(5.2), 8, at(10)), id="between segments"),
        pytest.param((at(1.2), 7, at(5), at(5), 8, at(10)), id="before the first"),
    ],
)
def test_speech_that_no_segment_covers_is_looked_for(scene: Scene, skipping: tuple[int, ...]) -> None:
    chunks = [chunk(10, speech=((0.0, 4.0), (4.0, 5.2), (9.0, 10.0)))]
    result = scene.run(chunks, Heard(skipping), Heard((at(0), *words(20), at(10)), avg_logprob=-0.5))
    assert told(result) == [(0, 10, words(20))]


def test_what_is_no_speech_after_all_is_not_looked_for_for_long(scene: Scene) -> None:
    scene.run([chunk(10, speech=WHOLE)], *[Heard((at(0), 7, at(10)))] * MAX_ATTEMPTS_FOR_SKIPPED_SPEECH)


def test_silence_has_no_text_and_nothing_is_looked_for_behind_it(scene: Scene) -> None:
    silence = Heard((at(0), 6, at(2)), avg_logprob=-1.5, no_speech_prob=0.9)
    assert scene.run([chunk(10)], silence) == []


def test_no_more_chunks_than_allowed_are_in_memory(scene: Scene) -> None:
    n_taken = 0

    def chunks() -> Iterator[Chunk]:
        nonlocal n_taken
        for n in range(20):
            n_taken += 1
            yield chunk(1, offset_s=n)

    def look() -> None:
        assert n_taken <= len(scene.model.states) + 3

    scene.model.on_prefill = look
    scene.model.script = [Heard((at(0), 7, at(1)))] * 20
    assert len(list(scene.segments(chunks(), max_ahead=3))) == 20


def test_what_the_audio_raises_is_raised_and_the_rest_is_let_go(scene: Scene) -> None:
    def broken() -> Iterator[Chunk]:
        yield chunk(10)
        raise InvalidAudio("cut off")

    scene.model.script = [Heard((at(0), *words(200)))]
    with pytest.raises(InvalidAudio, match="cut off"):
        list(scene.segments(broken()))
    assert scene.request.is_cancelled


def test_a_model_error_ends_the_request(scene: Scene) -> None:
    scene.model.inner.fail("decode_step", ValueError("odd"))
    scene.model.script = [Heard((at(0), 7, at(10)))] * 3
    with pytest.raises(EngineError, match="the model failed: ValueError: odd"):
        list(scene.segments([chunk(10)] * 3))
    assert scene.request.is_cancelled


def test_a_closed_engine_is_told(scene: Scene) -> None:
    scene.engine.close()
    with pytest.raises(EngineUnavailable, match="shutting down"):
        list(scene.segments([chunk(10)]))


def test_a_request_that_is_stopped_leaves(scene: Scene) -> None:
    scene.model.on_prefill = scene.request.token.cancel
    scene.model.script = [Heard((at(0), 7, at(10)))]
    with pytest.raises(EngineUnavailable, match="request was cancelled"):
        list(scene.segments([chunk(10)]))
