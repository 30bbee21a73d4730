"""Types of settings that need more than a number's range: how a text becomes their value, and what is refused."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # https://www.standardwebhooks.com

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")


def _split(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _check_origins(values: tuple[str, ...]) -> tuple[str, ...]:
    origins = tuple(value.lower().removesuffix("/") for value in values)  # as browsers write them
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is not an origin; allowed: `*`, or like https://app.example:8443")
    return origins


def _check_secret(value: SecretStr) -> SecretStr:
    try:
        n_bytes = len(base64.b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True))
    except ValueError:
        n_bytes = 0
    if not MIN_SECRET_BYTES <= n_bytes <= MAX_SECRET_BYTES:
        raise ValueError(f"allowed: base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, after whsec_")
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Names with commas between them."""

Origins = Annotated[Names, AfterValidator(_check_origins)]
"""Origins of pages, as browsers write them, or "*"."""

OpenPaths = Annotated[tuple[Literal["/health", "/info"], ...], NoDecode, BeforeValidator(_split)]
"""Paths of operators that may need no key."""

WebhookSecret = Annotated[SecretStr, AfterValidator(_check_secret)]
"""`whsec_` and base64 of MIN_SECRET_BYTES to MAX_SECRET_BYTES."""
