"""The settings as documentation shows them."""

from __future__ import annotations

from pydantic import ByteSize

from hf_asr_endpoint.config import Settings, flag_of, variable_of


def default_of(name: str) -> str:
    """Return the default of a setting as the documentation shows it, or "" if there is none."""
    if name == "cache_dir":
        return "~/.cache/hf-asr-endpoint"
    default = Settings.model_fields[name].default
    if isinstance(default, ByteSize):
        return f"{default // 2**20}MiB"
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default is None else str(default)


def settings_table() -> str:
    """Return the table of all settings for docs/settings.md, in Markdown."""
    rows = ["| flag | variable | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = f"`{default_of(name)}`" if default_of(name) else ""
        flag = f"`{flag_of(name)}`" if flag_of(name) else ""
        rows.append(f"| {flag} | `{variable_of(name)}` | {default} | {field.description} |")
    return "\n".join(rows)
