"""A flag for each setting: the same name, meaning and default in every subcommand that has it."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable
from typing import Any

from hf_asr_endpoint.config import VARIABLE_ONLY, Settings, flag_of, variable_of
from hf_asr_endpoint.read_settings import read_settings
from hf_asr_endpoint.settings_table import default_of

ALL_SETTINGS = tuple(name for name in Settings.model_fields if name not in VARIABLE_ONLY)
"""Settings that have a flag."""

ENGINE_SETTINGS = (
    *(
        "model",
        "revision",
        "devices",
        "dtype",
        "cpu_level",
        "slots",
        "max_beams",
        "encoder_padding_s",
        "preparation_processes",
        "cache_dir",
    ),
)
"""Settings of one model and of the engine that it runs on."""

API_KEY_VARIABLE = "HF_ASR_API_KEY"
"""The key that a client sends. `hf-asr serve` refuses it: a misspelt HF_ASR_API_KEYS must not open the server."""


def add_setting_flags(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, names: Iterable[str] = ALL_SETTINGS
) -> None:
    """Add the flags of some settings."""
    for name in names:
        default = f" (default: {default_of(name)})" if default_of(name) else ""
        description = Settings.model_fields[name].description
        parser.add_argument(
            flag_of(name),
            action="append" if name == "model" else "store",
            metavar=name.split("_")[-1].upper(),
            help=f"{description} [{variable_of(name)}]{default}".replace("%", "%%"),
        )


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that flags give."""
    given = vars(arguments)
    return {name: given[name] for name in ALL_SETTINGS if given.get(name) is not None}


def settings_of(arguments: argparse.Namespace, *, known: Collection[str] = ()) -> Settings:
    """Return the settings of this process: flags, else variables, else defaults. Raises InvalidSettings.

    known: variables that are not settings and belong to the subcommand.
    """
    return read_settings(given_settings(arguments), known=known)
