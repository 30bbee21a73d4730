"""Fields to options. Checks every field's type and range, and ignores none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from hf_asr_endpoint.api.mistral.schema import FIELDS, LISTS, ONLY, Parameters
from hf_asr_endpoint.api.plain_fields import check_only, collect_texts, language_code, validate
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.decoding_options import FALLBACK_TEMPERATURES, DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import TranscriptionOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedParameters:
    """The options, and what the response shows. model: as the request names it."""

    options: TranscriptionOptions
    model: str
    is_stream: bool
    granularity: Literal["segment", "word"] | None


def parse_parameters(texts: Iterable[tuple[str, str]], *, models: ServedModels) -> ParsedParameters:
    """Parse the names and texts of all fields but `file`. Raises UnknownModel, InvalidParameter and its kinds."""
    items: dict[str, list[str]] = {}
    plain = []
    for spelled, text in texts:
        name = spelled.removesuffix("[]")
        if name not in LISTS:
            plain.append((spelled, text))
        elif text.strip():
            items.setdefault(name, []).append(text.strip())
    values: dict[str, Any] = {**collect_texts(plain, allowed=FIELDS)}
    check_only(values, ONLY)
    parameters = validate(Parameters, {**values, **items})
    return ParsedParameters(
        options=replace(_options(parameters), model=models.choose(parameters.model)),
        model=parameters.model or models.default.id,
        is_stream=parameters.stream,
        granularity=_granularity(parameters),
    )


def _granularity(parameters: Parameters) -> Literal["segment", "word"] | None:
    """Return what the `segments` of a response are. Raises InvalidParameter for two kinds."""
    kinds = set(parameters.timestamp_granularities)
    if len(kinds) > 1:
        raise InvalidParameter(
            "timestamp_granularities is segment, word; allowed: only one", parameter="timestamp_granularities"
        )
    return kinds.pop() if kinds else None


def _options(parameters: Parameters) -> TranscriptionOptions:
    temperature = parameters.temperature
    return TranscriptionOptions(
        language=language_code(parameters.language),
        hotwords=", ".join(parameters.context_bias) or None,
        word_timestamps="word" in parameters.timestamp_granularities,
        decoding=DecodingOptions(temperatures=(temperature,) if temperature > 0 else FALLBACK_TEMPERATURES),
    )
