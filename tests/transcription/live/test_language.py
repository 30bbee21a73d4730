"""Which language a session's passes are in."""

from __future__ import annotations

from hf_asr_endpoint.transcription.live.language import SessionLanguage
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from tests.fake_model import scores_for

DETECTED, GERMAN = LiveOptions(), LiveOptions(language="de")


def vocabulary(tokenizer: WhisperTokenizer, *, is_multilingual: bool = True) -> Vocabulary:
    return Vocabulary(tokenizer, is_multilingual=is_multilingual)


def test_enough_speech_decides_the_session(tokenizer: WhisperTokenizer) -> None:
    words = vocabulary(tokenizer)
    french, german = words.language_token("fr"), words.language_token("de")
    assert french is not None
    assert german is not None
    scores = scores_for(french, languages=words.language_tokens(()))
    language = SessionLanguage(words)
    assert language.needs_detection(DETECTED)
    assert language.choose(scores, DETECTED, speech_s=0.5) == french
    assert not language.is_known
    language.choose(scores, DETECTED, speech_s=2.0)
    assert (language.is_known, language.token(DETECTED), language.token(GERMAN)) == (True, french, german)
    assert language.of_turn(DETECTED).main == french
    limited = LiveOptions(languages=("de", "en"))
    assert language.needs_detection(limited)
    assert language.choose(scores, limited, speech_s=0.5) in words.language_tokens(("de", "en"))


def test_an_english_only_model_has_nothing_to_detect(tokenizer: WhisperTokenizer) -> None:
    language = SessionLanguage(vocabulary(tokenizer, is_multilingual=False))
    assert language.is_known
    assert not language.needs_detection(DETECTED)
    assert language.token(DETECTED) is None
