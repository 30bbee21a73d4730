"""Names and texts to a pydantic model, for dialects whose fields are plain: one text each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS, given_twice, suggest
from hf_asr_endpoint.errors import InvalidParameter, MissingParameter, UnknownParameter, UnsupportedValue
from hf_asr_endpoint.languages import parse_language
from hf_asr_endpoint.messages import quote, show_value

DETECTED = ("", "auto")
"""Languages that ask for detection."""

TRUE, FALSE = ("true", "1", "yes", "on", "t", "y"), ("false", "0", "no", "off", "f", "n")
"""pydantic's spellings."""

T = TypeVar("T", bound=BaseModel)


def collect_texts(texts: Iterable[tuple[str, str]], *, allowed: Collection[str]) -> dict[str, str]:
    """Return each field's text, without blanks around it. A blank text means an absent field.

    Raises UnknownParameter, and InvalidParameter for a name that is given twice.
    """
    values: dict[str, str] = {}
    seen: set[str] = set()
    for name, text in texts:
        if name not in allowed:
            close = suggest(name, allowed)
            hint = f"did you mean {close!r}? " if close else ""
            raise UnknownParameter(
                f"there is no parameter {quote(name, max_characters=MAX_NAME_CHARACTERS)}; "
                f"{hint}allowed: {', '.join(allowed)}",
                parameter=name[:MAX_NAME_CHARACTERS],
            )
        if name in seen:
            raise given_twice(name)
        seen.add(name)
        if text.strip():
            values[name] = text.strip()
    return values


def check_only(values: dict[str, Any], only: Mapping[str, tuple[tuple[str, ...], str]]) -> None:
    """Take the fields out that only have values that change nothing. Raises UnsupportedValue for another value.

    only: for each field the values, in lower case, and why there are no others. The first one is shown.
    """
    for name, (allowed, reason) in only.items():
        value = values.pop(name, None)
        if value is not None and value.lower() not in allowed:
            shown = ", ".join(allowed[:1]) or "a request without it"
            raise UnsupportedValue(
                f"{name} is {quote(value)}, which is not supported here: {reason}; allowed: {shown}",
                parameter=name,
            )


def validate(model: type[T], values: Mapping[str, Any]) -> T:
    """Return the values as a model. Raises InvalidParameter with the description of the first wrong field."""
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        name = str(exc.errors(include_url=False)[0]["loc"][0])
        allowed = model.model_fields[name].description
        if name not in values:
            raise MissingParameter(f"{name} is absent; allowed: {allowed}", parameter=name) from exc
        raise InvalidParameter(
            f"{name} is {show_value(values[name])}; allowed: {allowed}", parameter=name
        ) from exc


def language_code(text: str | None) -> str | None:
    """Return Whisper's code, or None to detect the language. Raises InvalidParameter."""
    return None if text is None or text.lower() in DETECTED else parse_language(text)
