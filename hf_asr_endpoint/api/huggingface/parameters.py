"""`parameters` to options. Checks the type and range of every key, and ignores none."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from hf_asr_endpoint.api.huggingface.decoding import decoding_options
from hf_asr_endpoint.api.huggingface.fixed import FIXED
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters, Parameters
from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS, given_twice, suggest
from hf_asr_endpoint.api.values import is_null
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.languages import parse_language
from hf_asr_endpoint.messages import quote
from hf_asr_endpoint.types import TranscriptionOptions
from hf_asr_endpoint.units import WINDOW_S

GENERATION_KEY = "generation_parameters"
GENERATION_ALIAS = "generate_kwargs"
"""The name in the toolkit of Inference Endpoints, after the argument of transformers' pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedParameters:
    """The options, and which `chunks` the response shows."""

    options: TranscriptionOptions
    return_timestamps: bool | Literal["word"]


def parse_parameters(parameters: object) -> ParsedParameters:
    """Parse the value of `parameters` in a JSON body; None if it is absent. Raises InvalidParameter."""
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, Mapping):
        raise InvalidParameter(f"parameters is {_show(parameters)}; allowed: an object")
    return _parse(parameters)


def parse_query(items: Iterable[tuple[str, str]]) -> ParsedParameters:
    """Parse a query string, which has the same keys on one level, for bodies of raw bytes.

    Raises InvalidParameter, also for a key that is given twice.
    """
    parameters: dict[str, Any] = {}
    for key, value in items:
        if key in parameters:
            raise given_twice(key)
        parameters[key] = value
    return _parse(parameters)


def _parse(parameters: Mapping[str, Any]) -> ParsedParameters:
    outer = _without_fixed(parameters)
    if GENERATION_ALIAS in outer:
        if GENERATION_KEY in outer:
            raise InvalidParameter(f"{GENERATION_KEY} and {GENERATION_ALIAS} mean the same; allowed: only one")
        outer[GENERATION_KEY] = outer.pop(GENERATION_ALIAS)
    moved = _move_inside(outer)
    try:
        valid = Parameters.model_validate(outer)
    except ValidationError as exc:
        raise InvalidParameter(_explain(exc, moved)) from exc
    generation = valid.generation_parameters or GenerationParameters.model_validate({})
    return_timestamps = _one_of("return_timestamps", valid.return_timestamps, generation.return_timestamps)
    return ParsedParameters(
        options=TranscriptionOptions(
            task=_one_of("task", valid.task, generation.task) or "transcribe",
            language=parse_language(_one_of("language", valid.language, generation.language)),
            condition_on_previous_text=generation.condition_on_prev_tokens or False,
            prompt=generation.prompt,
            word_timestamps=return_timestamps == "word",
            audio_track=valid.audio_track,
            chunk_length_s=valid.chunk_length_s or WINDOW_S,
            decoding=decoding_options(generation),
        ),
        return_timestamps=return_timestamps or False,
    )


def _without_fixed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that leave a choice. Raises UnsupportedValue or UnsupportedParameter for others."""
    for key, value in parameters.items():
        if key in FIXED:
            FIXED[key].check(key, value)
    return {key: value for key, value in parameters.items() if key not in FIXED}


def _move_inside(outer: dict[str, Any]) -> frozenset[str]:
    """Move keys of generation parameters to where they belong, from where pipelines and query strings have them.

    Returns them. Raises InvalidParameter for one that is in both places with different values.
    """
    inner = outer.get(GENERATION_KEY)
    if is_null(inner):
        inner = {}
    if not isinstance(inner, Mapping):
        return frozenset()  # pydantic refuses it.
    inner = _without_fixed(inner)
    moved = frozenset(outer.keys() & GenerationParameters.model_fields.keys() - Parameters.model_fields.keys())
    for key in moved:
        inner[key] = _one_of(key, outer.pop(key), inner.get(key))
    if inner or GENERATION_KEY in outer:
        outer[GENERATION_KEY] = inner
    return moved


def _one_of(name: str, outer: Any, inner: Any) -> Any:
    if outer is not None and inner is not None and outer != inner:
        raise InvalidParameter(
            f"{name} is {outer!r} in parameters and {inner!r} in {GENERATION_KEY}; "
            "allowed: the same value, or only one of the two"
        )
    return inner if outer is None else outer


def _explain(error: ValidationError, moved: Collection[str]) -> str:
    """Return one sentence about the first key that is wrong, from what the schema's field says is allowed.

    moved: keys that were given next to the generation parameters.
    """
    detail = error.errors(include_url=False)[0]
    path = [str(part) for part in detail["loc"]]
    model: type[BaseModel] = Parameters
    if len(path) > 1 and path[0] == GENERATION_KEY:
        model, path = GenerationParameters, path[1:]
    if not path:  # A key that is not valid text has no place.
        return f"parameters cannot be read: {detail['msg']}; allowed: {', '.join(Parameters.model_fields)}"
    key = path[0]
    place = "parameters" if model is Parameters or key in moved else f"parameters.{GENERATION_KEY}"
    field = model.model_fields.get(key)
    if field is None:
        return (
            f"{place} has the unknown key {quote(key, max_characters=MAX_NAME_CHARACTERS)}{_suggest(key, model)}"
        )
    return f"{place}.{key} is {_show(detail['input'])}; allowed: {field.description}"


def _suggest(key: str, model: type[BaseModel]) -> str:
    close = suggest(key, model.model_fields)
    if key in Parameters.model_fields:
        return "; it belongs in parameters"
    hint = f"; did you mean {close!r}?" if close else ""
    return f"{hint}; allowed: {', '.join(model.model_fields)}"


def _show(value: object) -> str:
    text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
