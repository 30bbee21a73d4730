"""What a model, in an engine of so many slots, can follow of the options."""

from __future__ import annotations

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import MODELS_OWN_TOKENS, DecodingOptions, TranscriptionOptions
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


def check_width(options: DecodingOptions, *, n_slots: int) -> None:
    """Raise InvalidParameter for more beams or samples than there are slots to decode them in."""
    used = {"num_beams": 0.0 in options.temperatures, "best_of": any(t > 0 for t in options.temperatures)}
    for name, is_used in used.items():
        if is_used and getattr(options, name) > n_slots:
            raise InvalidParameter(
                f"{name} is {getattr(options, name)}, but this server decodes {n_slots} at a time (its --slots); "
                f"allowed: up to {n_slots}"
            )


def check_suppressed_tokens(tokenizer: WhisperTokenizer, options: DecodingOptions) -> None:
    """Raise InvalidParameter for what is no token, and for timestamps, by which text is cut into segments."""
    for token in options.suppress_tokens or ():
        if token != MODELS_OWN_TOKENS and not 0 <= token < tokenizer.timestamp_begin:
            raise InvalidParameter(
                f"suppress_tokens has {token}; allowed: ids from 0 to {tokenizer.timestamp_begin - 1}, "
                f"which are all tokens but timestamps, and {MODELS_OWN_TOKENS} for the model's own list"
            )
