"""The batching engine on real weights: the language is detected, given or translated from."""

from __future__ import annotations

import numpy as np
import pytest

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.transcription.batching import BatchingTranscriber
from hf_asr_endpoint.types import TranscriptionOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.transcription.transcribing import GREEDY, WatchedModel, comparable, pause, plain, read, run_transcribe

pytestmark = pytest.mark.usefixtures("one_thread")


def test_silence_has_no_text_and_no_window(multilingual: BatchingTranscriber, base_model: WatchedModel) -> None:
    result = run_transcribe(multilingual, [pause(40)])
    assert (result.segments, result.language, result.duration_s) == ((), "en", 40.0)
    assert base_model.n_windows == 0


def test_short_chunks_are_asked_together_for_their_language_before_they_are_decoded(
    multilingual: BatchingTranscriber, base_model: WatchedModel
) -> None:
    german = np.concatenate(read("fleurs-de-005.ogg"))[: 8 * SAMPLE_RATE]
    result = run_transcribe(multilingual, [german, pause(20), german[: 5 * SAMPLE_RATE]])
    assert result.language == "de"
    assert {segment.language for segment in result.segments} == {"de"}
    assert base_model.n_windows == 3, "the second is asked, then both are asked and decoded"
    given = TranscriptionOptions(language="de", decoding=GREEDY.decoding)
    assert comparable(
        run_transcribe(multilingual, [german, pause(20), german[: 5 * SAMPLE_RATE]], given)
    ) == comparable(result)


def test_the_language_is_kept_when_a_window_is_decoded_again(
    multilingual: BatchingTranscriber, base_model: WatchedModel
) -> None:
    """A window's second attempt was taken to have no language. The answer then said English, and further chunks
    detected theirs anew."""
    never_likely = DecodingOptions.from_flat(temperatures=(0.0, 0.2), logprob_threshold=0.0)
    german = np.concatenate(read("fleurs-de-005.ogg"))[: 8 * SAMPLE_RATE]
    result = run_transcribe(multilingual, [german], TranscriptionOptions(decoding=never_likely))
    assert result.language == "de"
    assert (base_model.n_attempts, base_model.n_detections) == (3, 1)
    assert base_model.n_windows == 2, "what was encoded to be asked is decoded; then the whole window"


def test_a_given_language_applies_to_its_request_only(multilingual: BatchingTranscriber, speech: Waveform) -> None:
    piece = [speech[: 6 * SAMPLE_RATE]]
    german = run_transcribe(multilingual, piece, TranscriptionOptions(language="de", decoding=GREEDY.decoding))
    english = run_transcribe(multilingual, piece)
    assert (german.language, english.language) == ("de", "en")
    assert german.text != english.text


def test_translation_is_english(multilingual: BatchingTranscriber) -> None:
    options = TranscriptionOptions(task="translate", decoding=GREEDY.decoding)
    result = run_transcribe(multilingual, read("fleurs-es-002.ogg"), options)
    assert (result.language, result.task) == ("es", "translate")
    assert {"the", "people"} <= set(plain(result.text).split())


def test_what_the_model_cannot_follow_is_refused(transcriber: BatchingTranscriber) -> None:
    with pytest.raises(InvalidParameter, match="English-only"):
        run_transcribe(transcriber, [], TranscriptionOptions(language="de"))
