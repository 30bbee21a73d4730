"""pydantic's errors to those of our tree, with the path of the field that is wrong."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS
from hf_asr_endpoint.errors import InvalidParameter, MissingParameter, UnknownParameter, UnsupportedValue
from hf_asr_endpoint.messages import show_value

TAGS = ("audio/pcm", "audio/pcmu", "audio/pcma", "server_vad", "semantic_vad")
"""Of unions: pydantic puts them into paths."""

UNSUPPORTED = {"noise_reduction": "noise is not reduced before Whisper, which was trained with it; allowed: null"}

T = TypeVar("T", bound=BaseModel)


def validate(model: type[T], value: Any, *, name: str) -> T:
    """Return the model of a JSON value. name: of the value, for paths. Raises InvalidParameter and its kinds."""
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise _explain(exc, name) from exc


def _explain(error: ValidationError, name: str) -> InvalidParameter:
    first = error.errors(include_url=False)[0]
    parts = [str(part) for part in first["loc"] if part not in TAGS]
    path = ".".join([name, *parts] if name else parts)[:MAX_NAME_CHARACTERS] or "the event"
    if first["type"] == "extra_forbidden":
        return UnknownParameter(f"there is no field {path}", parameter=path)
    if first["type"] in ("missing", "union_tag_not_found"):
        return MissingParameter(f"{path} is absent; allowed: {_allowed(first['msg'])}", parameter=path)
    if parts and parts[-1] in UNSUPPORTED:
        shown = show_value(first["input"])
        return UnsupportedValue(f"{path} is {shown}, but {UNSUPPORTED[parts[-1]]}", parameter=path)
    return InvalidParameter(
        f"{path} is {show_value(first['input'])}; allowed: {_allowed(first['msg'])}", parameter=path
    )


def _allowed(message: str) -> str:
    return message.removeprefix("Input should be ").removeprefix("Value error, ")
