"""The language of a session: the first seconds of speech decide it, for partial passes for good.

The final text of a turn may be in another language, by the rules for the passages of a recording.
"""

from __future__ import annotations

from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.passages import RecordingLanguages
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.whisper.language_scores import LanguageScores

MIN_SPEECH_S = 1.5
"""Speech that decides the session's language. A shorter turn's own language holds for that turn alone."""


class SessionLanguage:
    """Written by the engine's thread, one job of a session at a time."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._token: int | None = None

    @property
    def is_known(self) -> bool:
        return self._token is not None or not self._vocabulary.is_multilingual

    def token(self, options: LiveOptions) -> int | None:
        """Return the language token of a partial pass; None where it is to be detected, or there are none."""
        given = self._vocabulary.language_token(options.language)
        return self._token if given is None and self._is_allowed(options) else given

    def needs_detection(self, options: LiveOptions) -> bool:
        """Return whether a partial pass has to ask for its language."""
        return self._vocabulary.is_multilingual and self.token(options) is None

    def of_turn(self, options: LiveOptions) -> RecordingLanguages:
        """Return the languages of a piece of a turn, each part of which may be in another than the session's."""
        languages = RecordingLanguages(
            given=self._vocabulary.language_token(options.language),
            allowed=self._vocabulary.language_tokens(options.languages),
            is_detected=self._vocabulary.is_multilingual and options.language is None,
            on_decided=lambda: None,
        )
        if languages.is_detected and self._is_allowed(options):
            languages.main = self._token
        return languages

    def choose(self, scores: LanguageScores, options: LiveOptions, *, speech_s: float) -> int:
        """Return the likeliest language token, and remember it if there is enough speech."""
        allowed = self._vocabulary.language_tokens(options.languages)
        token = max(allowed, key=lambda one: scores.logprobs[one])
        self.remember(token, speech_s=speech_s)
        return token

    def remember(self, token: int | None, *, speech_s: float) -> None:
        """Take a language that was detected in some speech."""
        if speech_s >= MIN_SPEECH_S:
            self._token = token

    def _is_allowed(self, options: LiveOptions) -> bool:
        return self._token in self._vocabulary.language_tokens(options.languages)
