"""`parameters` to options. Checks the type and range of every key, and ignores none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from hf_asr_endpoint.api.huggingface.decoding import decoding_options
from hf_asr_endpoint.api.huggingface.schema import UNSUPPORTED_KEYS, GenerationParameters, Parameters
from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS, given_twice, suggest
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.languages import parse_language
from hf_asr_endpoint.messages import quote
from hf_asr_endpoint.types import TranscriptionOptions

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
    return _parse(parameters, from_text=False)


def parse_query(items: Iterable[tuple[str, str]]) -> ParsedParameters:
    """Parse a query string, which has the same keys on one level, for bodies of raw bytes.

    Raises InvalidParameter, also for a key that is given twice.
    """
    parameters: dict[str, Any] = {}
    generation: dict[str, str] = {}
    for key, value in items:
        target = generation if key in GenerationParameters.model_fields else parameters
        if key in target:
            raise given_twice(key)
        target[key] = value
    return _parse({**parameters, **({GENERATION_KEY: generation} if generation else {})}, from_text=True)


def _parse(parameters: Mapping[str, Any], *, from_text: bool) -> ParsedParameters:
    parameters = dict(parameters)
    if GENERATION_ALIAS in parameters:
        if GENERATION_KEY in parameters:
            raise InvalidParameter(f"{GENERATION_KEY} and {GENERATION_ALIAS} mean the same; allowed: only one")
        parameters[GENERATION_KEY] = parameters.pop(GENERATION_ALIAS)
    try:
        # A query string has only strings, so "true" is a bool there and "5" a number. In JSON they are strings.
        validate = Parameters.model_validate_strings if from_text else Parameters.model_validate
        valid = validate(parameters, strict=not from_text)
    except ValidationError as exc:
        raise InvalidParameter(_explain(exc)) from exc
    generation = valid.generation_parameters or GenerationParameters.model_validate({})
    language = _one_of("language", valid.language, generation.language)
    wants_words = valid.return_timestamps == "word"
    return ParsedParameters(
        options=TranscriptionOptions(
            task=_one_of("task", valid.task, generation.task) or "transcribe",
            language=None if language is None else parse_language(language),
            condition_on_previous_text=generation.condition_on_prev_tokens or False,
            prompt=generation.prompt,
            word_timestamps=wants_words,
            audio_track=valid.audio_track,
            decoding=decoding_options(generation),
        ),
        return_timestamps=valid.return_timestamps or False,
    )


def _one_of(name: str, outer: Any, inner: Any) -> Any:
    if outer is not None and inner is not None and outer != inner:
        raise InvalidParameter(
            f"{name} is {outer!r} in parameters and {inner!r} in {GENERATION_KEY}; "
            "allowed: the same value, or only one of the two"
        )
    return inner if outer is None else outer


def _explain(error: ValidationError) -> str:
    """Return one sentence about the first key that is wrong, from what the schema's field says is allowed."""
    detail = error.errors(include_url=False)[0]
    path = [str(part) for part in detail["loc"]]
    model: type[BaseModel] = Parameters
    if len(path) > 1 and path[0] == GENERATION_KEY:
        model, path = GenerationParameters, path[1:]
    if not path:  # A key that is not valid text has no place.
        return f"parameters cannot be read: {detail['msg']}; allowed: {', '.join(Parameters.model_fields)}"
    key = path[0]
    place = "parameters" if model is Parameters else f"parameters.{GENERATION_KEY}"
    field = model.model_fields.get(key)
    if field is None:
        return (
            f"{place} has the unknown key {quote(key, max_characters=MAX_NAME_CHARACTERS)}{_suggest(key, model)}"
        )
    return f"{place}.{key} is {_show(detail['input'])}; allowed: {field.description}"


def _suggest(key: str, model: type[BaseModel]) -> str:
    if key in UNSUPPORTED_KEYS:
        return f", which is not supported ({UNSUPPORTED_KEYS[key]}); allowed: {', '.join(model.model_fields)}"
    close = suggest(key, model.model_fields)
    other = GenerationParameters if model is Parameters else Parameters
    if key in other.model_fields:
        return f"; it belongs in {GENERATION_KEY if model is Parameters else 'parameters'}"
    hint = f"; did you mean {close!r}?" if close else ""
    return f"{hint}; allowed: {', '.join(model.model_fields)}"


def _show(value: object) -> str:
    text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
