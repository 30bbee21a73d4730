"""The data of a client's events to options.

Fields that are not known are passed over, as the package `wyoming` does: Home Assistant sends new ones before
servers know them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hf_asr_endpoint.api.plain_fields import language_code, validate
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.api.texts import KEYWORDS_ALLOWED, MAX_PROMPT_CHARACTERS, Keywords
from hf_asr_endpoint.audio.headerless import Encoding, PcmFormat
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.transcription.live.options import LiveOptions

MIN_RATE, MAX_RATE, MAX_CHANNELS = 1_000, 192_000, 8
MAX_BYTES_PER_S = 768_000
"""48 kHz in 4 channels of 32 bits, for example: audio that waits is kept as it came."""

ENCODINGS: Mapping[int, Encoding] = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
"""By the width of a sample in bytes."""


class AudioFields(BaseModel):
    """Of `audio-start` and of `audio-chunk`."""

    model_config = ConfigDict(strict=True, frozen=True)

    rate: int = Field(ge=MIN_RATE, le=MAX_RATE, description=f"{MIN_RATE} to {MAX_RATE}, in Hz")
    width: Literal[1, 2, 3, 4] = Field(description="1, 2, 3 or 4 bytes of a sample")
    channels: int = Field(ge=1, le=MAX_CHANNELS, description=f"1 to {MAX_CHANNELS}")


class TranscribeFields(BaseModel):
    """`context` and `vad_sensitivity` mean nothing here: no text depends on another one, and the client ends its
    utterances (`requires_external_vad`)."""

    model_config = ConfigDict(frozen=True)

    name: str | None = Field(None, description="a name of a model")
    language: str | None = Field(None, description="a language")
    transcript_names: Keywords | None = Field(None, description=KEYWORDS_ALLOWED)
    transcript_terms: Keywords | None = Field(None, description=KEYWORDS_ALLOWED)


class PingFields(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    text: str | None = Field(None, description="a text")


def parse_audio(data: Mapping[str, Any]) -> PcmFormat:
    """Return the format of samples. Raises InvalidParameter."""
    fields = validate(AudioFields, data)
    pcm = PcmFormat(
        sample_rate=fields.rate, n_channels=fields.channels, encoding=ENCODINGS[fields.width], byte_order="LITTLE"
    )
    if pcm.bytes_per_s > MAX_BYTES_PER_S:
        raise InvalidParameter(
            f"rate × width × channels is {pcm.bytes_per_s} bytes a second; allowed: {MAX_BYTES_PER_S}",
            parameter="rate",
        )
    return pcm


def parse_transcribe(data: Mapping[str, Any], models: ServedModels) -> LiveOptions:
    """Return the options of an utterance, but for its audio. Raises InvalidParameter, UnknownModel."""
    fields = validate(TranscribeFields, data)
    # What is too long for the model is cut at its end: names count more.
    words = ", ".join((*(fields.transcript_names or ()), *(fields.transcript_terms or ())))
    if len(words) > MAX_PROMPT_CHARACTERS:
        raise InvalidParameter(
            f"transcript_names and transcript_terms are {show_value(words)}, {len(words)} characters together; "
            f"allowed: {MAX_PROMPT_CHARACTERS}",
            parameter="transcript_terms",
        )
    return LiveOptions(
        turn_detection=None,
        model=models.choose(fields.name or None),
        language=language_code(fields.language),
        hotwords=words or None,
    )
