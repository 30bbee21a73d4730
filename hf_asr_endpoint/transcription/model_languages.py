"""Which languages and tasks a model has, and whether it has live sessions. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection

from hf_asr_endpoint.errors import InvalidParameter, UnsupportedParameter, UnsupportedValue
from hf_asr_endpoint.languages import describe_language
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.types import ModelInfo, TranscriptionOptions


def check_language_and_task(
    languages: Collection[str], options: TranscriptionOptions, *, is_multilingual: bool
) -> None:
    """Raise InvalidParameter for a language or task that the model does not have. languages: of its tokens."""
    if not is_multilingual and options.task != "transcribe":
        raise InvalidParameter(
            f"task is {options.task!r}, but the model is English-only; allowed: 'transcribe'", parameter="task"
        )
    known = languages if is_multilingual else ("en",)
    for name, codes in (("language", (options.language,)), ("languages", options.languages)):
        for code in codes:
            if code is not None and code not in known:
                why = "the model was not trained on" if is_multilingual else "an English-only model does not have"
                raise UnsupportedValue(
                    f"{name} is {describe_language(code)}, which {why}; allowed: {', '.join(sorted(known))}",
                    parameter=name,
                )


def check_live(languages: Collection[str], options: LiveOptions, info: ModelInfo) -> None:
    """Raise InvalidParameter for a language that the model does not have, or a model without live sessions."""
    if reason := no_live_sessions(info):
        raise UnsupportedParameter(reason, parameter="model")
    recording = TranscriptionOptions(language=options.language, languages=options.languages)
    check_language_and_task(languages, recording, is_multilingual=info.is_multilingual)


def no_live_sessions(info: ModelInfo) -> str:
    """Return why a model's engine cannot transcribe while people speak; "" if it can."""
    if info.engine == "native":
        return ""
    return (
        f"the model is computed by the {info.engine} engine, which has no live sessions; allowed: a Whisper model "
        "that the native engine computes"
    )
