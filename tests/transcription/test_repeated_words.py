from __future__ import annotations

import pytest

from hf_asr_endpoint.transcription.word_split import ends_with_words


@pytest.mark.parametrize(
    ("before", "said", "language"),
    [
        pytest.param("He does not.", " Not.", "en", id="a word"),
        pytest.param("So it was, in the end", "IN THE END!", "en", id="several"),
        pytest.param("यह राम का", "का", "hi", id="marks belong to letters"),
        pytest.param("そうですね、はい。", "はい。", "ja", id="no spaces"),
        pytest.param("Take 1, take 2.", "2", None, id="digits"),
        pytest.param("la plaza de San Pedro.", " tan pedro.", "es", id="the first sound is cut off"),
        pytest.param("She met Cleo Brown", "Leo Brown", "en", id="the first letter is missing"),
    ],
)
def test_text_that_repeats_the_last_words(before: str, said: str, language: str | None) -> None:
    assert ends_with_words(before, said, language=language)


@pytest.mark.parametrize(
    ("before", "said", "language"),
    [
        pytest.param("He was also", "so", "en", id="the end of a word"),
        pytest.param("He does not", "visit often", "en", id="other words"),
        pytest.param("often", "visit often", "en", id="more words"),
        pytest.param("He does not", "not now", "en", id="another last word"),
        pytest.param("Did you ever?", "Never!", "en", id="a word that rhymes"),
        pytest.param("The station", "nation", "en", id="the end of another word"),
        pytest.param("We think it's possible.", "Impossible.", "en", id="the contrary"),
        pytest.param("It was a big problem.", "No problem.", "en", id="another first word"),
        pytest.param("Das ist ein Problem.", "Kein Problem.", "de", id="a longer first word"),
        pytest.param("He was there.", "She was there.", "en", id="another person"),
        pytest.param("Sí se puede.", "No se puede.", "es", id="another short word"),
        pytest.param("우리 집에", "거리 집에", "ko", id="another syllable"),
        pytest.param("本を読みました", "飲みました", "ja", id="another character"),
        pytest.param("It costs 12 100", "22 100", "en", id="another number"),
        pytest.param("यह राम का", "की", "hi", id="other marks"),
        pytest.param("Yes.", " ♪", "en", id="no words"),
        pytest.param("", "", "en", id="nothing"),
    ],
)
def test_text_that_does_not_repeat_the_last_words(before: str, said: str, language: str | None) -> None:
    assert not ends_with_words(before, said, language=language)
