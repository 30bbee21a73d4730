"""Reads the settings of this process, and explains what is wrong with them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from hf_asr_endpoint.config import ENV_PREFIX, VARIABLE_ONLY, Settings, flag_of, variable_of
from hf_asr_endpoint.errors import InvalidSettings

NEVER_EMPTY = ("api_keys", "api_keys_file", "open_paths")
"""Settings whose variable must not be there without a value: as a default, that would open the server."""


def read_settings(given: Mapping[str, Any], *, known: Collection[str] = ()) -> Settings:
    """Return the settings of this process. The command line and handler.py both read theirs here.

    given: values that have precedence over variables. known: variables that are no settings, and are not misspelt
    ones either. Raises InvalidSettings, also for a misspelt variable.
    """
    if unknown := [name for name in unknown_variables(os.environ) if name not in known]:
        close = difflib.get_close_matches(unknown[0], map(variable_of, Settings.model_fields), n=1)
        raise InvalidSettings(
            f"the variable {unknown[0]} is not a setting; {f'use {close[0]}' if close else 'unset it'}"
        )
    for name in NEVER_EMPTY:
        if not os.environ.get(variable_of(name), "set").strip():
            raise InvalidSettings(f"the variable {variable_of(name)} is empty; give it a value, or unset it")
    try:
        return Settings(**given)
    except ValidationError as exc:
        # Without the cause: its message would show a webhook secret in a traceback.
        raise InvalidSettings(_explain(exc)) from None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the HF_ASR_* variables that are not settings, most likely because they are misspelt."""
    known = {variable_of(name) for name in Settings.model_fields}
    return sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in known)


def _explain(error: ValidationError) -> str:
    problems: dict[str, list[str]] = {}  # One that may be of two kinds has a message for each.
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0])
        given = "cannot be used" if name in VARIABLE_ONLY else f"is {detail['input']!r}"
        setting = variable_of(name) if name in VARIABLE_ONLY else f"{flag_of(name)} ({variable_of(name)})"
        problems.setdefault(f"{setting} {given}", []).append(detail["msg"])
    return "; ".join(f"{problem}: {' or '.join(messages)}" for problem, messages in problems.items())
