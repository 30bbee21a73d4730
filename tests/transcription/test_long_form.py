"""What one request asks of the engine, and what it makes of the answers, told by a model that follows a script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_asr_endpoint.audio.chunking import Chunk, SpeechSpan
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Request
from hf_asr_endpoint.errors import EngineError, EngineUnavailable, InvalidAudio
from hf_asr_endpoint.transcription.fallback import MOST_FOR_SKIPPED
from hf_asr_endpoint.transcription.long_form import LongForm
from hf_asr_endpoint.transcription.threads import Stop
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.types import DecodingOptions, Segment, TranscriptionOptions
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.decoding_state import DecodingState
from hf_asr_endpoint.whisper.tokenizer import WhisperTokenizer
from tests.fakes import FakeSpeechModel

N_SLOTS = 8
PADDING_S = 6.0
BEGIN = 50_364  # <|0.00|> of multilingual models
WHOLE = ((0.0, 10.0),)  # speech in all of ten seconds
ENGLISH = TranscriptionOptions(language="en")
ONE_AFTER_THE_OTHER = TranscriptionOptions(language="en", condition_on_previous_text=True)


def at(seconds: float) -> int:
    """Return the timestamp token."""
    return BEGIN + round(seconds / 0.02)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the model hears in a window: tokens and the numbers that thresholds look at."""

    tokens: tuple[int, ...]
    avg_logprob: float = -0.2
    no_speech_prob: float = 0.0


@dataclass(slots=True)
class ScriptedModel:
    """A SpeechModel that hears what its script says, prompt by prompt.

    frames: of each window that was encoded. states: of each prompt that was fed.
    """

    script: list[Heard]
    language_token: int
    inner: FakeSpeechModel = field(default_factory=lambda: FakeSpeechModel(n_slots=N_SLOTS))
    frames: list[int] = field(default_factory=list)
    states: list[DecodingState] = field(default_factory=list)
    on_prefill: Callable[[], None] = lambda: None

    def encode(self, windows: Mapping[int, torch.Tensor]) -> None:
        self.frames += [window.shape[1] for window in windows.values()]

    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        self.on_prefill()
        for slot in sorted(states):
            state, heard = states[slot], self.script.pop(0)
            self.states.append(state)
            self.inner.encode({slot: heard.tokens})
            self.inner.prefill({slot: state})
            state.no_speech_prob = heard.no_speech_prob
            # The fake gives each of the tokens and eot -1.
            state.logprobs[0] += (heard.avg_logprob + 1) * (len(heard.tokens) + 1)
            if state.prompt.after_language is not None:
                state.language_token = self.language_token

    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        self.inner.decode_step(states)

    def free(self, slot: int) -> None:
        self.inner.free(slot)


@pytest.fixture(scope="module")
def tokenizer(base_directory: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_directory(base_directory)


class Scene:
    """One request, with an engine of its own."""

    def __init__(self, tokenizer: WhisperTokenizer) -> None:
        self._tokenizer = tokenizer
        self.model = ScriptedModel([], tokenizer.language_tokens["de"])
        self.engine = Engine(self.model, n_slots=N_SLOTS)
        self.request = Request()
        self.stop = Stop(threading.Event(), on_cancel=self.request.cancel)

    def long_form(self, options: TranscriptionOptions, *, n_ahead: int = 16) -> LongForm:
        return LongForm(
            self.engine,
            options,
            vocabulary=Vocabulary(self._tokenizer, is_multilingual=True),
            n_mels=80,
            padding_s=PADDING_S,
            n_ahead=n_ahead,
            request=self.request,
            stop=self.stop,
        )

    def run(self, chunks: list[Chunk], *script: Heard, options: TranscriptionOptions = ENGLISH) -> list[Segment]:
        self.model.script = list(script)
        result = list(self.long_form(options).run(iter(chunks)))
        assert self.model.script == [], "not all was asked for"
        return result


@pytest.fixture
def scene(tokenizer: WhisperTokenizer) -> Iterator[Scene]:
    scene = Scene(tokenizer)
    scene.engine.start()
    yield scene
    scene.engine.close()


def chunk(
    seconds: float, *, offset_s: float = 0.0, speech: tuple[tuple[float, float], ...] | None = None
) -> Chunk:
    """Return a chunk in which somebody speaks for the first few seconds, or at the times given."""
    spans = ((0.0, min(seconds, 4.0)),) if speech is None else speech
    return Chunk(
        waveform=np.zeros(round(seconds * SAMPLE_RATE), np.float32),
        offset_s=offset_s,
        speech=tuple(SpeechSpan(start_s=start, end_s=end) for start, end in spans),
    )


def words(n: int) -> tuple[int, ...]:
    """Return so many tokens whose text does not repeat itself."""
    return tuple(range(1_000, 1_000 + 7 * n, 7))


def told(result: list[Segment]) -> list[tuple[float, float, tuple[int, ...]]]:
    """Return start, end and text tokens."""
    return [
        (round(timed.start, 3), round(timed.end, 3), tuple(token for token in timed.tokens if token < BEGIN))
        for timed in result
    ]


def test_no_chunks_no_text(scene: Scene) -> None:
    assert scene.run([]) == []
    assert scene.request.is_cancelled, "nothing of it may stay behind"


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
    assert scene.model.frames == [700, 850, 3_000]


def test_speech_behind_the_last_timestamp_gets_a_window_of_its_own(scene: Scene) -> None:
    script = Heard((at(0), 7, at(3), at(3), 8, at(6))), Heard((at(0.5), 9, at(4)))
    result = scene.run([chunk(10, offset_s=50, speech=WHOLE)], *script)
    assert told(result) == [(50, 53, (7,)), (53, 56, (8,)), (56.5, 60, (9,))]
    assert scene.model.frames == [1_600, 1_000]


def test_a_second_window_may_be_followed_by_a_third(scene: Scene) -> None:
    script = [Heard((at(0), 7 + n, at(3))) for n in range(3)]
    result = scene.run([chunk(10, speech=((0.0, 9.5),))], *script)
    assert told(result) == [(0, 3, (7,)), (3, 6, (8,)), (6, 9, (9,))]


@pytest.mark.parametrize(
    ("speech", "tokens"),
    [
        pytest.param(((0, 6.9),), (at(0), 7, at(3), at(3), 8, at(6)), id="hardly any speech behind"),
        pytest.param(((0, 3), (7.4, 7.9), (8.2, 8.6)), (at(0), 7, at(6)), id="scraps of speech behind"),
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
    options = TranscriptionOptions(language="en", decoding=DecodingOptions(max_new_tokens=5))
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


def test_what_is_no_speech_after_all_is_not_looked_for_for_long(scene: Scene) -> None:
    scene.run([chunk(10, speech=WHOLE)], *[Heard((at(0), 7, at(10)))] * MOST_FOR_SKIPPED)


def test_silence_has_no_text_and_nothing_is_looked_for_behind_it(scene: Scene) -> None:
    silence = Heard((at(0), 6, at(2)), avg_logprob=-1.5, no_speech_prob=0.9)
    assert scene.run([chunk(10)], silence) == []


def test_the_language_given_is_in_every_prompt(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    options = TranscriptionOptions(language="fr", task="translate")
    heard = Heard((at(0), 7, at(10)))
    scene.run([chunk(10), chunk(10)], heard, heard, options=options)
    expected = (tokenizer.sot, tokenizer.language_tokens["fr"], tokenizer.task_tokens["translate"])
    assert [state.prompt.tokens for state in scene.model.states] == [expected] * 2


def test_the_language_is_detected_in_the_first_chunk_while_the_others_wait(
    scene: Scene, tokenizer: WhisperTokenizer
) -> None:
    taken: list[int] = []
    taken_at_first_prompt: list[int] = []

    def chunks() -> Iterator[Chunk]:
        for n in range(4):
            taken.append(n)
            yield chunk(10, offset_s=10 * n)

    def look() -> None:
        if not scene.model.states:
            taken_at_first_prompt.append(len(taken))

    scene.model.on_prefill = look
    scene.model.script = [Heard((at(0), 7, at(10)))] * 4
    long_form = scene.long_form(TranscriptionOptions())
    assert long_form.language is None
    assert len(list(long_form.run(chunks()))) == 4
    assert long_form.language == "de"
    assert taken_at_first_prompt == [1]
    first, *others = scene.model.states
    assert first.prompt.after_language == (tokenizer.task_tokens["transcribe"],)
    german = tokenizer.language_tokens["de"]
    assert {state.prompt.tokens[1] for state in others} == {german}
    assert len(scene.model.frames) == 4, "the first one was not encoded again"


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
    assert len(list(scene.long_form(ENGLISH, n_ahead=3).run(chunks()))) == 20


def test_previous_text_is_the_prompt_of_the_next_window(scene: Scene, tokenizer: WhisperTokenizer) -> None:
    script = Heard((at(0), 7, at(4))), Heard((at(0), 8, at(4.5))), Heard((at(0), 9, at(10)))
    scene.run([chunk(10, speech=((0.0, 8.5),)), chunk(10)], *script, options=ONE_AFTER_THE_OTHER)
    bare = (tokenizer.sot, tokenizer.language_tokens["en"], tokenizer.task_tokens["transcribe"])
    first, second, third = (state.prompt for state in scene.model.states)
    assert (first.tokens, first.sot_index) == (bare, 0)
    assert (second.tokens, second.sot_index) == ((tokenizer.sot_prev, at(0), 7, at(4), *bare), 4)
    assert third.tokens == (tokenizer.sot_prev, at(0), 7, at(4), at(0), 8, at(4.5), *bare)


def test_previous_text_is_left_out_unless_asked_for(scene: Scene) -> None:
    script = [Heard((at(0), 7, at(4.5)))] * 2
    scene.run([chunk(10, speech=((0.0, 9.0),))], *script)
    assert [state.prompt.sot_index for state in scene.model.states] == [0, 0]


def test_text_sampled_hot_does_not_become_a_prompt(scene: Scene) -> None:
    """It used to: what came before it was forgotten, but not the text itself, which misleads the most."""
    decoding = DecodingOptions(temperatures=(0.0, 0.8))
    options = TranscriptionOptions(language="en", condition_on_previous_text=True, decoding=decoding)
    unlikely = Heard((at(0), 66, at(30)), avg_logprob=-1.5)
    script = Heard((at(0), 7, at(30))), unlikely, Heard((at(0), 8, at(30))), Heard((at(0), 9, at(30)))
    scene.run([chunk(30)] * 3, *script, options=options)
    assert [state.rules.temperature for state in scene.model.states] == [0.0, 0.0, 0.8, 0.0]
    assert [state.prompt.sot_index for state in scene.model.states] == [0, 4, 4, 0]


def test_a_long_text_is_cut_to_half_of_what_the_decoder_holds(scene: Scene) -> None:
    script = [Heard((at(0), *words(100), at(30)))] * 4
    scene.run([chunk(30)] * 4, *script, options=ONE_AFTER_THE_OTHER)
    assert [state.prompt.sot_index for state in scene.model.states] == [0, 103, 205, 224]
    assert scene.model.states[-1].rules.max_new_tokens == 448 - 227


def test_what_the_audio_raises_is_raised_and_the_rest_is_let_go(scene: Scene) -> None:
    def broken() -> Iterator[Chunk]:
        yield chunk(10)
        raise InvalidAudio("cut off")

    scene.model.script = [Heard((at(0), *words(200)))]
    with pytest.raises(InvalidAudio, match="cut off"):
        list(scene.long_form(ENGLISH).run(broken()))
    assert scene.request.is_cancelled


def test_a_model_error_ends_the_request(scene: Scene) -> None:
    scene.model.inner.fail("decode_step", ValueError("odd"))
    scene.model.script = [Heard((at(0), 7, at(10)))] * 3
    with pytest.raises(EngineError, match="the model failed: ValueError: odd"):
        list(scene.long_form(ENGLISH).run([chunk(10)] * 3))
    assert scene.request.is_cancelled


def test_a_closed_engine_is_told(scene: Scene) -> None:
    scene.engine.close()
    with pytest.raises(EngineUnavailable, match="shutting down"):
        list(scene.long_form(ENGLISH).run([chunk(10)]))


def test_a_request_that_is_stopped_leaves(scene: Scene) -> None:
    scene.model.on_prefill = scene.stop.cancel
    scene.model.script = [Heard((at(0), 7, at(10)))]
    with pytest.raises(EngineUnavailable, match="request was cancelled"):
        list(scene.long_form(ENGLISH).run([chunk(10)]))
