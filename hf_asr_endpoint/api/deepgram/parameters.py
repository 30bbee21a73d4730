"""The query of `/v1/listen` to options. Source: developers.deepgram.com/reference, November 2026."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hf_asr_endpoint.api.fixed_parameters import Fixed, anything, nothing, only
from hf_asr_endpoint.api.plain_fields import collect_texts, validate
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.api.texts import MAX_KEYWORDS, MAX_PROMPT_CHARACTERS
from hf_asr_endpoint.audio.headerless import Encoding, PcmFormat
from hf_asr_endpoint.errors import InvalidParameter, MissingParameter, UnknownModel
from hf_asr_endpoint.languages import choose_languages
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.transcription.live.options import LiveOptions, ServerVad

MIN_RATE, MAX_RATE = 8_000, 48_000
MIN_ENDPOINTING_MS, MAX_ENDPOINTING_MS = 100, 60_000
DEFAULT_ENDPOINTING_MS = 300
NO_ENDPOINTING_MS = 2_000
"""Without endpointing Deepgram still ends results; here a longer silence does."""

OWN_MODELS = ("nova", "enhanced", "base", "whisper")
"""How Deepgram's names of models begin. They mean the default model."""

ENCODINGS: dict[str, Encoding] = {"linear16": "PCM_16", "mulaw": "ULAW", "alaw": "ALAW"}
REPEATED = ("keyterm", "keywords")

FIXED: Fixed = {
    # False is what Deepgram's clients send by default, and not a wish for text without punctuation.
    **dict.fromkeys(
        ("punctuate", "smart_format", "numerals"), only(True, False, reason="Whisper writes its text as people do")
    ),
    # pipecat sends true by default; the page of the API says that no word is filtered.
    "profanity_filter": only(False, True, reason="no word is filtered"),
    "channels": only(1, reason="one channel is transcribed"),
    "multichannel": only(False, reason="one channel is transcribed"),
    **dict.fromkeys(("diarize", "dictation", "detect_entities"), only(False, reason="Whisper does not do it")),
    **dict.fromkeys(("redact", "replace", "search", "callback"), nothing("it is not done here")),
    **dict.fromkeys(("no_delay", "filler_words", "tag", "extra", "mip_opt_out", "version"), anything()),
}


class Fields(BaseModel):
    """What the query may have beside FIXED and REPEATED."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, description="a name of a model")
    language: str | None = Field(None, description="a language code, or multi")
    encoding: Literal["linear16", "mulaw", "alaw"] = Field(description="linear16, mulaw or alaw")
    sample_rate: int = Field(ge=MIN_RATE, le=MAX_RATE, description=f"{MIN_RATE} to {MAX_RATE}")
    interim_results: bool = Field(False, description="true or false")
    endpointing: int | Literal["true", "false"] = Field(
        DEFAULT_ENDPOINTING_MS, description=f"milliseconds up to {MAX_ENDPOINTING_MS}, true or false"
    )
    utterance_end_ms: int | None = Field(None, ge=1_000, le=30_000, description="1000 to 30000")
    vad_events: bool = Field(False, description="true or false")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenParameters:
    """The options of the session, and which events are sent."""

    options: LiveOptions
    shows_interims: bool
    shows_speech: bool


def parse_query(items: Iterable[tuple[str, str]], models: ServedModels) -> ListenParameters:
    """Return the parameters. Raises InvalidParameter and its kinds, UnknownModel."""
    plain: list[tuple[str, str]] = []
    terms: list[str] = []
    for name, text in items:
        if name in REPEATED:
            terms.append(text.partition(":")[0] if name == "keywords" else text)
        elif name in FIXED:
            FIXED[name].check(name, text)
        else:
            plain.append((name, text))
    if len(terms) > MAX_KEYWORDS or sum(map(len, terms)) > MAX_PROMPT_CHARACTERS:
        raise InvalidParameter(
            f"keyterm has {len(terms)} texts of {sum(map(len, terms))} characters; allowed: {MAX_KEYWORDS} texts, "
            f"of {MAX_PROMPT_CHARACTERS} characters together",
            parameter="keyterm",
        )
    values = collect_texts(plain, allowed=(*Fields.model_fields, *REPEATED))
    for name in ("encoding", "sample_rate"):
        if name not in values:
            raise MissingParameter(
                f"{name} is absent: files are not read here; allowed: {Fields.model_fields[name].description}",
                parameter=name,
            )
    fields = validate(Fields, values)
    choice = choose_languages(fields.language, ())
    silence_ms = _silence_ms(fields.endpointing)
    idle_ms = None if fields.utterance_end_ms is None else max(fields.utterance_end_ms - silence_ms, 100)
    return ListenParameters(
        options=LiveOptions(
            audio=PcmFormat(
                sample_rate=fields.sample_rate, encoding=ENCODINGS[fields.encoding], byte_order="LITTLE"
            ),
            turn_detection=ServerVad(
                silence_duration_s=silence_ms / 1000, idle_timeout_s=None if idle_ms is None else idle_ms / 1000
            ),
            model=_choose_model(fields.model, models),
            language=choice.language,
            languages=choice.languages,
            hotwords=", ".join(terms) or None,
        ),
        shows_interims=fields.interim_results,
        shows_speech=fields.vad_events,
    )


def _silence_ms(endpointing: int | str) -> int:
    if isinstance(endpointing, str):
        return DEFAULT_ENDPOINTING_MS if endpointing == "true" else NO_ENDPOINTING_MS
    if not 0 <= endpointing <= MAX_ENDPOINTING_MS:
        raise InvalidParameter(
            f"endpointing is {show_value(endpointing)}; allowed: {Fields.model_fields['endpointing'].description}",
            parameter="endpointing",
        )
    return max(endpointing, MIN_ENDPOINTING_MS)


def _choose_model(name: str | None, models: ServedModels) -> str | None:
    try:
        return models.choose(name)
    except UnknownModel:
        if name is not None and name.startswith(OWN_MODELS):
            return None
        raise
