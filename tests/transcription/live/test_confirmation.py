"""Which words are shown, and where the window of the next pass begins."""

from __future__ import annotations

from hf_asr_endpoint.transcription.live.confirmation import Certainty, n_confirmed, words_behind
from hf_asr_endpoint.transcription.live.jobs import PartialResult
from hf_asr_endpoint.transcription.live.window import KEPT_S, MAX_WINDOW_S, PartialWindow
from tests.transcription.live.simulation import script, word

CERTAINTY = Certainty(agreed_s=0.3, alone_s=1.0, late_s=3.0, probability=0.6)


def test_a_word_is_confirmed_when_two_passes_agree() -> None:
    before = [word("one", 0, 0.5), word("two", 0.5, 1.0), word("sea", 1.0, 1.4)]
    words = [word("One,", 0, 0.5), word("two", 0.5, 1.0), word("see", 1.0, 1.4), word("four", 1.4, 1.7)]
    assert n_confirmed(before, words, audio_end_s=1.8, certainty=CERTAINTY) == 2


def test_the_last_word_and_words_at_the_end_wait() -> None:
    words = [word("one", 0, 0.5), word("two", 0.5, 1.0)]
    assert n_confirmed(words, words, audio_end_s=1.9, certainty=CERTAINTY) == 1
    assert n_confirmed(words, words, audio_end_s=0.7, certainty=CERTAINTY) == 0


def test_a_likely_word_is_confirmed_alone_when_it_ended_a_while_ago() -> None:
    words = [word("one", 0, 0.5, probability=0.9), word("two", 0.5, 1.0, probability=0.4)]
    assert n_confirmed([], words, audio_end_s=1.4, certainty=CERTAINTY) == 0
    assert n_confirmed([], words, audio_end_s=2.5, certainty=CERTAINTY) == 1


def test_no_word_holds_up_those_behind_it_for_long() -> None:
    before = [word("sea", 0, 0.5), word("two", 0.5, 1.0)]
    words = [word("see", 0, 0.5, probability=0.1), word("two", 0.5, 1.0, probability=0.9), word("three", 1.0, 1.5)]
    assert n_confirmed(before, words, audio_end_s=3.4, certainty=CERTAINTY) == 0
    assert n_confirmed(before, words, audio_end_s=3.6, certainty=CERTAINTY) == 2


def test_what_is_left_to_show_follows_the_last_word_shown() -> None:
    words = script(5)
    assert list(words_behind(None, words)) == words
    assert list(words_behind(words[2], words)) == words[3:]
    late = word("w2", 1.1, 1.75)  # Its times are another pass's.
    assert list(words_behind(late, words)) == words[3:]
    other = word("else", 1.0, 1.45)
    assert list(words_behind(other, words)) == words[3:]


def test_a_long_window_is_cut_at_a_gap_between_confirmed_words() -> None:
    window = PartialWindow(start_s=0.0)
    words = [*script(18), word("late", 9.4, 9.8)]
    for _ in range(2):
        window.take(PartialResult(words=words), end_s=10.5, speech_end_s=10.0, certainty=CERTAINTY)
        words = words[len(window.confirmed) :]
    window.trim(MAX_WINDOW_S + 0.5)
    assert window.confirmed[-1].word.end - window.start_s <= KEPT_S + 0.5
    assert window.confirmed[0].word.start >= window.start_s


def test_a_window_begins_anew_where_the_model_has_ended_its_text() -> None:
    window = PartialWindow(start_s=0.0)
    result = PartialResult(words=[word("end.", 0, 1.0, probability=0.9)])
    window.take(result, end_s=4.0, speech_end_s=3.9, certainty=CERTAINTY)
    assert (window.start_s, window.confirmed) == (1.0, [])
