"""What a model can follow of the options."""

from __future__ import annotations

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import TranscriptionOptions
from hf_asr_endpoint.whisper.tokenizer import WhisperTokenizer


def check_language_and_task(
    tokenizer: WhisperTokenizer, options: TranscriptionOptions, *, is_multilingual: bool
) -> None:
    """Raise InvalidParameter for a language or task that the model does not know."""
    if not is_multilingual:
        if options.task != "transcribe":
            raise InvalidParameter(
                f"task is {options.task!r}, but the model is English-only; allowed: 'transcribe'",
                parameter="task",
            )
        if options.language not in (None, "en"):
            raise InvalidParameter(
                f"language is {options.language!r}, but the model is English-only; allowed: 'en'",
                parameter="language",
            )
    elif options.language is not None and options.language not in tokenizer.language_tokens:
        raise InvalidParameter(
            f"language is {options.language!r}, which the model was not trained on; "
            f"allowed: {', '.join(sorted(tokenizer.language_tokens))}",
            parameter="language",
        )
