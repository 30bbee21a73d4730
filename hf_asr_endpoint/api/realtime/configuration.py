"""What a session is configured as: changed by updates, shown to the client, and given to the transcriber."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hf_asr_endpoint.api.realtime.schema import (
    PCM_RATE,
    TELEPHONE_RATE,
    Format,
    Included,
    InputSettings,
    Pcm,
    SemanticVadSettings,
    ServerVadSettings,
    SessionSettings,
    TranscriptionSettings,
)
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.errors import InvalidParameter, UnknownModel, UnsupportedValue
from hf_asr_endpoint.languages import choose_languages
from hf_asr_endpoint.transcription.live.options import LiveOptions, SemanticVad, ServerVad, TurnDetection

COMMITTED_BY_CLIENTS = ("gpt-live-transcribe", "gpt-realtime-whisper")
"""OpenAI's models whose turns the client ends, unless it asks for turn detection."""

ALIASES = (
    *("gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"),
    *COMMITTED_BY_CLIENTS,
)
"""OpenAI's names of models, built into clients of this API. They mean the default model, as whisper-1 does."""

DIARIZING = "gpt-4o-transcribe-diarize"

MAX_WAITS_S = {"low": 8.0, "medium": 4.0, "auto": 4.0, "high": 2.0}

PATH = "session.audio.input"

Detection = ServerVadSettings | SemanticVadSettings | None

DEFAULT_FORMAT = Pcm.model_validate({"type": "audio/pcm"})
DEFAULT_DETECTION = ServerVadSettings.model_validate({"type": "server_vad"})
NO_SETTINGS = TranscriptionSettings.model_validate({})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfiguration:
    """A session's fields. is_detection_given: whether the client has said when turns end."""

    include: tuple[Included, ...] = ()
    format: Format = DEFAULT_FORMAT
    transcription: TranscriptionSettings = NO_SETTINGS
    turn_detection: Detection = DEFAULT_DETECTION
    is_detection_given: bool = False

    def updated(self, settings: SessionSettings) -> SessionConfiguration:
        """Return the configuration after an update: absent fields stay, null clears."""
        changed = self
        if "include" in settings.model_fields_set:
            changed = replace(changed, include=tuple(settings.include or ()))
        given = settings.audio.input if settings.audio is not None else None
        return changed if given is None else changed._with_input(given)

    def with_model(self, name: str) -> SessionConfiguration:
        """Return the configuration with the model of the URL."""
        return self._with_input(InputSettings.model_validate({"transcription": {"model": name}}))

    def _with_input(self, given: InputSettings) -> SessionConfiguration:
        changed, fields = self, given.model_fields_set
        if "format" in fields:
            changed = replace(changed, format=given.format or DEFAULT_FORMAT)
        if "transcription" in fields:
            changed = replace(changed, transcription=_merged(self.transcription, given.transcription))
        if "turn_detection" in fields:
            return replace(changed, turn_detection=given.turn_detection, is_detection_given=True)
        if not changed.is_detection_given:
            by_client = changed.transcription.model in COMMITTED_BY_CLIENTS
            detection = None if by_client else DEFAULT_DETECTION
            changed = replace(changed, turn_detection=detection)
        return changed

    def live_options(self, models: ServedModels) -> LiveOptions:
        """Return the options. Raises UnknownModel, InvalidParameter."""
        settings = self.transcription
        try:
            choice = choose_languages(settings.language, settings.languages or ())
        except InvalidParameter as exc:
            raise type(exc)(str(exc), parameter=f"{PATH}.transcription.{exc.parameter}") from exc
        return LiveOptions(
            audio=_pcm_format(self.format),
            turn_detection=_turn_detection(self.turn_detection),
            delay=settings.delay or "low",
            model=_choose_model(settings.model, models),
            language=choice.language,
            languages=choice.languages,
            prompt=settings.prompt,
            hotwords=", ".join(settings.keywords or ()) or None,
        )

    def possible_models(self, models: ServedModels) -> tuple[str, ...]:
        """Return the ids of the models that the session may have: all, as long as the client has named none."""
        if self.transcription.model is None:
            return tuple(model.id for model in models)
        return (_choose_model(self.transcription.model, models) or models.default.id,)

    def render(self, models: ServedModels, **identity: Any) -> dict[str, Any]:
        """Return the session object. identity: its id and the like."""
        shown = {"model": models.default.id, "language": None, "prompt": ""}
        shown |= self.transcription.model_dump(exclude_none=True)
        return {
            **identity,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "include": list(self.include) or None,
            "audio": {
                "input": {
                    "format": self.format.model_dump(),
                    "transcription": shown,
                    "noise_reduction": None,
                    "turn_detection": self.turn_detection
                    and self.turn_detection.model_dump(exclude={"create_response", "interrupt_response"}),
                }
            },
        }


def _merged(before: TranscriptionSettings, given: TranscriptionSettings | None) -> TranscriptionSettings:
    if given is None:
        return NO_SETTINGS
    return before.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})


def _choose_model(name: str | None, models: ServedModels) -> str | None:
    path = f"{PATH}.transcription.model"
    if name == DIARIZING and name not in models.accepted_names:
        raise UnsupportedValue(f"{path} is {name!r}, but speakers are not distinguished", parameter=path)
    try:
        return models.choose(name)
    except UnknownModel:
        if name in ALIASES:
            return None
        raise


def _pcm_format(audio_format: Format) -> PcmFormat:
    match audio_format.type:
        case "audio/pcm":
            rate = audio_format.rate if isinstance(audio_format, Pcm) else PCM_RATE
            return PcmFormat(sample_rate=rate, byte_order="LITTLE")
        case "audio/pcmu":
            return PcmFormat(sample_rate=TELEPHONE_RATE, encoding="ULAW")
        case "audio/pcma":
            return PcmFormat(sample_rate=TELEPHONE_RATE, encoding="ALAW")


def _turn_detection(settings: Detection) -> TurnDetection:
    match settings:
        case None:
            return None
        case SemanticVadSettings():
            return SemanticVad(max_wait_s=MAX_WAITS_S[settings.eagerness])
        case ServerVadSettings():
            idle_ms = settings.idle_timeout_ms
            return ServerVad(
                threshold=settings.threshold,
                prefix_padding_s=settings.prefix_padding_ms / 1000,
                silence_duration_s=settings.silence_duration_ms / 1000,
                idle_timeout_s=None if idle_ms is None else idle_ms / 1000,
            )
