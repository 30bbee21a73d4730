"""Words of real recordings by real weights, and the alignments that a chunk's decoding requests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunking import Chunk, SpeechSpan
from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence
from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.transcription.chunk_decoding import ChunkDecoding
from hf_asr_endpoint.transcription.passages import RecordingLanguages
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.types import Segment, Transcription, TranscriptionOptions, Waveform, Word
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.loading import load_speech_model
from tests.conftest import DATA
from tests.transcription.scripted import prepare
from tests.transcription.transcribing import Blocks

pytestmark = pytest.mark.usefixtures("one_thread")

N_SLOTS = 4
GREEDY = TranscriptionOptions(decoding=DecodingOptions.from_flat(temperatures=(0.0,)))
WORDS = replace(GREEDY, word_timestamps=True)
BEGIN = 50_364  # <|0.00|> of multilingual models


def at(seconds: float) -> int:
    """Return the timestamp token."""
    return BEGIN + round(seconds / 0.02)


@pytest.fixture(scope="module")
def multilingual(base_directory: Path) -> Iterator[BatchingTranscriber]:
    model, tokenizer, info = load_speech_model(base_directory, device="cpu", dtype="float32", slots=N_SLOTS)
    engine = Engine(model, slots=N_SLOTS)
    transcriber = BatchingTranscriber(
        engine, tokenizer, info, max_requests=4, max_ahead=8, encoder_padding_s=4.0, max_beams=8
    )
    yield transcriber
    transcriber.close()


@pytest.fixture(scope="module")
def vocabulary(base_directory: Path) -> Vocabulary:
    return Vocabulary(WhisperTokenizer.from_directory(base_directory), is_multilingual=True)


def run(transcriber: BatchingTranscriber, *pieces: Waveform, options: TranscriptionOptions) -> Transcription:
    return asyncio.run(transcriber.transcribe(Blocks(pieces), options))


def read(name: str) -> Waveform:
    with (DATA / name).open("rb") as file:
        return np.concatenate(list(decode_audio(file)))


def pause(seconds: float) -> Waveform:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def assert_words_are_right(result: Transcription) -> None:
    assert result.segments
    for segment in result.segments:
        assert "".join(word.word for word in segment.words) == segment.text
        assert all(segment.start <= word.start <= word.end <= segment.end for word in segment.words)
        assert all(0 < word.probability <= 1 for word in segment.words)
    words = [word for segment in result.segments for word in segment.words]
    assert all(first.end <= second.start for first, second in itertools.pairwise(words))


@pytest.mark.parametrize("name", ["jfk.mp3", "fleurs-de-005.ogg", "fleurs-fr-000.ogg", "1688-142285-0003.flac"])
def test_words_lie_in_their_segments_in_order_and_are_the_text(
    multilingual: BatchingTranscriber, name: str
) -> None:
    result = run(multilingual, read(name), options=WORDS)
    assert_words_are_right(result)
    durations = [word.end - word.start for segment in result.segments for word in segment.words]
    assert 0.1 <= np.median(durations) <= 0.6
    assert max(durations) <= 1.5
    assert sum(duration > 0 for duration in durations) >= 0.9 * len(durations)


def test_words_change_nothing_else(multilingual: BatchingTranscriber, speech: Waveform) -> None:
    recording = np.concatenate([speech, pause(5), read("fleurs-de-005.ogg")])
    without, words = (run(multilingual, recording, options=options) for options in (GREEDY, WORDS))
    assert_words_are_right(words)
    assert all(segment.words == () for segment in without.segments)
    assert replace(words, segments=tuple(replace(s, words=()) for s in words.segments)) == without


def test_words_of_a_second_chunk_are_where_it_is(multilingual: BatchingTranscriber, speech: Waveform) -> None:
    result = run(multilingual, speech, pause(20.0), speech, options=WORDS)
    assert_words_are_right(result)
    words = [word for segment in result.segments for word in segment.words if "country" in word.word]
    assert len(words) == 4
    later_s = len(speech) / SAMPLE_RATE + 20.0
    for first, second in zip(words[:2], words[2:], strict=True):
        assert second.start - first.start == pytest.approx(later_s, abs=0.1)
        assert second.end - first.end == pytest.approx(later_s, abs=0.1)


def test_a_word_does_not_reach_into_the_silence_around_it(
    multilingual: BatchingTranscriber, speech: Waveform
) -> None:
    """The first one used to begin with the recording, because the path through the attention does."""
    result = run(multilingual, pause(3.0), speech, pause(3.0), options=WORDS)
    words = [word for segment in result.segments for word in segment.words]
    assert words[0].start >= 2.9
    assert words[-1].end <= 3.2 + len(speech) / SAMPLE_RATE


def test_a_translation_has_words(multilingual: BatchingTranscriber) -> None:
    result = run(multilingual, read("fleurs-es-002.ogg"), options=replace(WORDS, task="translate"))
    assert_words_are_right(result)
    assert len(result.segments[0].words) > 5


def test_beams_have_words(multilingual: BatchingTranscriber, speech: Waveform) -> None:
    options = replace(WORDS, decoding=DecodingOptions.from_flat(temperatures=(0.0,), num_beams=3))
    recording = np.concatenate([speech, pause(20.0), speech])  # Two chunks: one waits for the other's slots.
    result = run(multilingual, recording, options=options)
    assert_words_are_right(result)
    assert len([word for segment in result.segments for word in segment.words]) == 44


class Scene:
    """One chunk's decoding, whose attempts' results are given by hand."""

    def __init__(
        self, vocabulary: Vocabulary, options: TranscriptionOptions, speech: tuple[tuple[float, float], ...]
    ) -> None:
        spans = tuple(SpeechSpan(start_s=start, end_s=end) for start, end in speech)
        waveform = np.zeros(10 * SAMPLE_RATE, np.float32)
        self._vocabulary = vocabulary
        self.decoding = ChunkDecoding(
            prepare(Chunk(waveform=waveform, offset_s=100.0, speech=spans)),
            options,
            vocabulary=vocabulary,
            languages=RecordingLanguages(
                given=vocabulary.language_token(options.language),
                allowed=vocabulary.language_tokens(()),
                is_detected=False,
                on_decided=lambda: None,
            ),
        )
        self.sequence = self.begin()

    def begin(self) -> Sequence:
        self.sequence = self.decoding.window(
            request=Request(),
            make_prompt=lambda language_token, *, with_previous: self._vocabulary.prompt(
                language_token=language_token, task="transcribe", previous=(7, 8) if with_previous else ()
            ),
            on_end=lambda sequence: None,
        )
        return self.sequence

    def decode(self, *tokens: int, avg_logprob: float = -0.2) -> Attempt | AlignmentInput | None:
        """Return an attempt's text."""
        attempt = self.sequence.attempt
        assert isinstance(attempt, Attempt)
        state = DecodingState(prompt=attempt.prompt, rules=attempt.rules)
        for token in (*tokens, -1):
            state.append(token, avg_logprob, eot=-1)
        return self.sequence.on_attempt(state)

    def attend(self, *starts: float, n_positions: int) -> list[Segment]:
        """Align tokens that begin at these seconds, the last one is the end; return the segments."""
        rows = [round(start / 0.02) for start in starts]
        weights = np.full((len(starts), n_positions), 1e-5, np.float32)
        for row, (begin, end) in enumerate(itertools.pairwise([*rows, n_positions])):
            weights[row, begin:end] = 0.1
        self.sequence.on_alignment(AlignmentOutput(weights=weights, probabilities=(0.5,) * (len(starts) - 1)))
        return self.decoding.take()


ENGLISH = TranscriptionOptions(language="en", word_timestamps=True)


def test_the_aligned_text_has_no_timestamps_and_no_previous_text(
    vocabulary: Vocabulary, base_directory: Path
) -> None:
    text = Scene(vocabulary, ENGLISH, ((0.0, 3.0),)).decode(at(0), 1000, at(1), at(1), 2000, 3000, at(10))
    tokenizer = WhisperTokenizer.from_directory(base_directory)
    prompt = tokenizer.sot, tokenizer.language_tokens["en"], tokenizer.task_tokens["transcribe"]
    expected = AlignmentInput(
        prompt=(*prompt, tokenizer.no_timestamps), tokens=(1000, 2000, 3000), n_positions=500
    )
    assert text == expected


def test_the_text_that_is_kept_is_the_one_that_is_aligned(vocabulary: Vocabulary) -> None:
    options = replace(ENGLISH, decoding=DecodingOptions.from_flat(temperatures=(0.0,)))
    scene = Scene(vocabulary, options, ((0.0, 2.0),))
    assert isinstance(scene.decode(at(0), 1000, at(2), avg_logprob=-1.2), Attempt)
    kept = scene.decode(at(0), 2000, at(2), avg_logprob=-1.5)
    assert isinstance(kept, AlignmentInput)
    assert kept.tokens == (1000,)


@pytest.mark.parametrize("tokens", [pytest.param((), id="nothing"), pytest.param((at(0), at(1)), id="no text")])
def test_nothing_is_aligned_without_text(vocabulary: Vocabulary, tokens: tuple[int, ...]) -> None:
    options = replace(ENGLISH, decoding=DecodingOptions.from_flat(temperatures=(0.0,), no_speech_threshold=None))
    scene = Scene(vocabulary, options, ((0.0, 0.5),))
    while isinstance(result := scene.decode(*tokens), Attempt):
        pass
    assert result is None
    assert scene.decoding.take() == []


def test_nothing_is_aligned_unless_words_are_requested(vocabulary: Vocabulary) -> None:
    scene = Scene(vocabulary, replace(ENGLISH, word_timestamps=False), ((0.0, 2.0),))
    assert scene.decode(at(0), 1000, at(2)) is None
    (segment,) = scene.decoding.take()
    assert segment.words == ()


def test_words_are_given_to_their_segments_in_seconds_of_the_file(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.encode("and so my fellow")
    assert len(tokens) == 4
    scene = Scene(vocabulary, ENGLISH, ((1.0, 2.0), (3.0, 4.0)))
    scene.decode(at(1), *tokens[:2], at(2), at(3), *tokens[2:], at(4.5))
    first, second = scene.attend(0.0, 1.5, 2.5, 3.5, 3.9, n_positions=500)
    assert times(first.words) == [(" and", 101.0, 101.5), (" so", 101.5, 102.0)]
    assert times(second.words) == [(" my", 103.0, 103.5), (" fellow", 103.5, 103.9)]


def test_words_of_a_second_window_count_from_its_beginning(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.encode("and so")
    scene = Scene(vocabulary, ENGLISH, ((0.0, 3.5), (5.0, 9.0)))
    scene.decode(at(0), tokens[0], at(4))
    scene.attend(0.0, 4.0, n_positions=500)
    assert not scene.decoding.is_done
    scene.begin()
    text = scene.decode(at(0), tokens[1], at(5))
    assert isinstance(text, AlignmentInput)
    assert text.n_positions == 300
    (segment,) = scene.attend(0.0, 4.0, n_positions=300)
    assert times(segment.words) == [(" so", 105.0, 108.0)]


def test_speech_spans_too_short_for_the_text_are_ignored(vocabulary: Vocabulary) -> None:
    """VAD finds hardly any speech in music, but the model transcribes singing."""
    tokens = vocabulary.encode("and so my fellow")
    scene = Scene(vocabulary, ENGLISH, ((5.0, 5.1),))
    scene.decode(at(0), *tokens, at(9))
    (segment,) = scene.attend(0.0, 2.0, 4.0, 6.0, 8.0, n_positions=500)
    assert [word.start for word in segment.words] == [100.0, 102.0, 104.0, 106.0]


def times(words: tuple[Word, ...]) -> list[tuple[str, float, float]]:
    return [(word.word, word.start, word.end) for word in words]
