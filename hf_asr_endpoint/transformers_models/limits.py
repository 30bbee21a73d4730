"""Which options a model can follow. All others are refused by name; nothing is ignored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from hf_asr_endpoint.decoding_options import FALLBACK_TEMPERATURES, FLAT_DECODING_OPTIONS, DecodingOptions
from hf_asr_endpoint.errors import UnsupportedValue
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.types import TranscriptionOptions

OUTSIDE_THE_MODEL = frozenset({"model", "prefers_words", "voice_activity", "audio_track", "chunk_length_s"})
"""Options that are followed before or after the model is called."""

GENERATION = frozenset(
    {
        *("seed", "suppress_tokens", "repetition_penalty", "num_beams", "early_stopping", "length_penalty"),
        *("top_k", "top_p", "typical_p", "epsilon_cutoff", "eta_cutoff"),
        *("max_length", "max_new_tokens", "min_length", "min_new_tokens"),
    }
)
"""Options that transformers' `generate` has, for every model with a decoder."""

LOG_PROBABILITIES = frozenset(
    {"token_logprobs", "compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"}
)
"""Options that need each token's log-probability, or P(no_speech)."""

_NOT_TOLD = {
    "word_timestamps": "does not tell the times of words",
    "token_logprobs": "does not tell log-probabilities",
    "detects_language_only": "does not tell languages",
    "task": "does not translate",
}
"""What asking for an option amounts to, where its name does not say it."""

_PLAIN = (FALLBACK_TEMPERATURES, (0.0,))
"""Temperatures that every model has: the default, and the text that is the most probable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a model can be asked for. name: for messages, such as "this wav2vec2 model".

    options: names of fields of TranscriptionOptions and of DecodingOptions and its groups.
    samples: whether it has temperatures above 0, and falls_back: whether it tries several.
    """

    name: str
    options: frozenset[str] = frozenset()
    samples: bool = False
    falls_back: bool = False


def check_options(options: TranscriptionOptions, abilities: Abilities) -> None:
    """Raise UnsupportedValue for the first option that is not as by default and that the model does not follow."""
    defaults = dict(_flatten(TranscriptionOptions()))
    for name, value in _flatten(options):
        if value == defaults[name] or name in abilities.options or name in OUTSIDE_THE_MODEL:
            continue
        if name == "temperatures":
            _check_temperatures(options.decoding.temperatures, abilities)
            continue
        default = defaults[name]
        allowed = f"{show_value(default)} (the default)" if default else "to leave it out"
        reason = _NOT_TOLD.get(name, "does not have this option")
        raise UnsupportedValue(
            f"{name} is {show_value(value)}, but {abilities.name} {reason}; allowed: {allowed}", parameter=name
        )


def _check_temperatures(temperatures: tuple[float, ...], abilities: Abilities) -> None:
    if temperatures in _PLAIN or abilities.falls_back or (abilities.samples and len(temperatures) == 1):
        return
    shown = ", ".join(f"{temperature:g}" for temperature in temperatures)
    raise UnsupportedValue(
        f"temperature is {shown}, but {abilities.name} {'takes only one' if abilities.samples else 'has none'}; "
        f"allowed: {'one temperature' if abilities.samples else '0'}, or the default",
        parameter="temperature",
    )


def _flatten(options: TranscriptionOptions) -> Iterator[tuple[str, Any]]:
    for field in fields(options):
        if field.name != "decoding":
            yield field.name, getattr(options, field.name)
    decoding = options.decoding
    for group in (decoding, *(getattr(decoding, field.name) for field in fields(DecodingOptions))):
        for name in sorted(FLAT_DECODING_OPTIONS & _names(group)):
            if not (name == "top_k" and group is decoding.contrast):  # The one of the filters is the client's.
                yield name, getattr(group, name)


def _names(group: object) -> set[str]:
    return {field.name for field in fields(group)} if is_dataclass(group) else set()
