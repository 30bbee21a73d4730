"""The languages of models that are told one, in their own codes, such as SeamlessM4T's "deu" for "de"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hf_asr_endpoint.errors import InvalidParameter, MissingParameter, UnsupportedValue
from hf_asr_endpoint.languages import describe_language, parse_language
from hf_asr_endpoint.types import TranscriptionOptions

ENGLISH = "en"  # what is translated into


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLanguages:
    """name: for messages, such as "this canary model". codes: the model's own, by those of requests."""

    name: str
    codes: Mapping[str, str]

    @classmethod
    def of(cls, name: str, codes: Iterable[str]) -> ModelLanguages:
        """codes: the model's own. Of several for one language, the first counts ("cmn" and "cmn_Hant")."""
        by_language: dict[str, str] = {}
        for code in codes:
            try:
                language = parse_language(code)
            except InvalidParameter:  # A language that requests cannot name.
                continue
            if language is not None:
                by_language.setdefault(language, code)
        return cls(name=name, codes=by_language)

    def check(self, options: TranscriptionOptions, *, is_required: bool) -> None:
        """Raise InvalidParameter for a language that the model does not have, or that is missing."""
        if options.language is None:
            if is_required:
                raise MissingParameter(
                    f"language is missing, and {self.name} does not detect it; allowed: {self._allowed()}",
                    parameter="language",
                )
        elif options.language not in self.codes:
            raise UnsupportedValue(
                f"language is {describe_language(options.language)}, which {self.name} does not have; "
                f"allowed: {self._allowed()}",
                parameter="language",
            )

    def check_target(self, options: TranscriptionOptions) -> None:
        """As `check`, for a model that hears what is spoken by itself, and is told the language of the text."""
        if options.task == "transcribe":
            self.check(options, is_required=True)
        elif options.language is not None:
            raise UnsupportedValue(
                f"language is {options.language!r}, but {self.name} translates from any language into English; "
                "allowed: to leave it out, or to transcribe with the language of the text",
                parameter="language",
            )

    def target(self, options: TranscriptionOptions) -> str:
        """Return the model's code for the language of the text."""
        return self.codes[ENGLISH if options.task == "translate" else options.language or ENGLISH]

    def _allowed(self) -> str:
        return ", ".join(sorted(self.codes))
