"""The process's settings. One definition here makes each flag, HF_ASR_* variable and row of the README's table."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from hf_asr_endpoint.user_folders import cache_folder

ENV_PREFIX = "HF_ASR_"

VARIABLE_ONLY = ("webhook_secret",)
"""Settings without a flag: every user of a machine can read the flags of its processes."""

MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # https://www.standardwebhooks.com


def _split_names(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _check_secret(value: SecretStr) -> SecretStr:
    try:
        n_bytes = len(base64.b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True))
    except ValueError:
        n_bytes = 0
    if not MIN_SECRET_BYTES <= n_bytes <= MAX_SECRET_BYTES:
        raise ValueError(f"allowed: base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, behind whsec_")
    return value


class Settings(BaseSettings):
    """Read from flags, else HF_ASR_* variables, else the variables that hosting platforms set, else defaults."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    model: str = Field(
        "embedded:whisper-base",
        min_length=1,
        description="What to serve: `embedded:whisper-base`, `embedded:whisper-tiny.en`, a name on the Hugging "
        "Face Hub, or a local directory in transformers' or CTranslate2's format. Also read from `HF_MODEL_DIR`, "
        "when it holds a model, and `HF_MODEL_ID`.",
    )
    revision: str | None = Field(
        None, description="Branch, tag or commit of a model on the Hub. Also read from `HF_REVISION`."
    )
    served_model_names: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_names)] = Field(
        (), description="Further names under which clients may ask for the model, separated by commas."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where the model runs.")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto",
        description="Precision of the weights. `auto`: on the CPU int8 where AVX-512 has VNNI and bfloat16 "
        "and there is no AMX, else bfloat16 where the processor computes with it, else float32; float16 "
        "elsewhere. `int8`, the fastest, needs a CPU with VNNI.",
    )
    slots: int = Field(
        16, ge=1, le=1024, description="Pieces of audio, of up to 30 seconds each, that are decoded at a time."
    )
    max_beams: int = Field(
        16,
        ge=1,
        description="Most beams, samples to choose from, or candidates of contrastive search in a request. Each "
        "takes one of the slots, of which there have to be as many.",
    )
    encoder_padding_s: float = Field(
        4.0,
        ge=1,
        le=30,
        description="Least silence behind audio shorter than 30 seconds, in seconds. Less is faster "
        "and, under about 4, less accurate; 30 always gives the model the whole window that it was trained on.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` lets other machines in.")
    port: int = Field(
        8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one. Also read from `PORT`."
    )
    cache_dir: Path = Field(
        default_factory=cache_folder, description="Where converted weights are kept, once and for all."
    )
    max_audio_bytes: ByteSize = Field(
        ByteSize(100 * 2**20), gt=0, description="Largest audio file of a request, such as `100MiB`."
    )
    openai_max_audio_bytes: ByteSize = Field(
        ByteSize(25 * 2**20),
        gt=0,
        description="Largest audio file on OpenAI's paths, where clients know OpenAI's limit; "
        "`max_audio_bytes` holds there as well.",
    )
    max_audio_s: float = Field(6 * 3600.0, gt=0, description="Longest audio of a request, in seconds.")
    subtitle_max_s: float = Field(
        7.0, ge=1, description="Longest time that a subtitle shows one cue, in seconds; longer segments are cut."
    )
    subtitle_max_characters: int = Field(
        84, ge=20, description="Most characters in one cue of a subtitle; from half of them on, it has two lines."
    )
    max_concurrent_requests: int = Field(
        64, ge=1, description="Requests under way at a time, waiting ones included; one more gets status 429."
    )
    upload_idle_timeout_s: float = Field(
        60.0, gt=0, description="Longest pause in the middle of an upload, in seconds."
    )
    price_per_s: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Price of a second of audio, for the `cost` in DeepInfra's answers.",
    )
    data_dir: Path | None = Field(
        None,
        description="Where jobs and their audio are kept, by one server at a time. Absent: "
        "`~/.local/share/hf-asr-endpoint`, and where that cannot be had, the server starts without jobs.",
    )
    max_queued_jobs: int = Field(100, ge=1, description="Jobs that wait at a time; one more gets status 429.")
    max_running_jobs: int = Field(2, ge=1, description="Jobs that run at a time, beside other requests.")
    job_retention_s: float = Field(
        86_400.0, gt=0, description="How long a job's result can be asked for after its end, in seconds."
    )
    max_job_crashes: int = Field(
        20,
        ge=1,
        description="A job fails that was running when the server died, so many times; after two, it runs alone.",
    )
    webhook_timeout_s: float = Field(
        20.0, gt=0, description="Longest time that one attempt to deliver to a webhook takes, in seconds."
    )
    webhook_retry_for_s: float = Field(
        86_400.0, ge=0, description="How long a delivery that fails is tried again, on the average, in seconds."
    )
    webhook_allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_names)] = Field(
        (),
        description="Hosts, addresses and networks that webhooks may be at beside public addresses, separated by "
        "commas, such as `receiver.lan,10.0.0.0/8`.",
    )
    webhook_secret: Annotated[SecretStr, AfterValidator(_check_secret)] | None = Field(
        None,
        description="Signs webhooks as Standard Webhooks says: `whsec_` and base64 of 24 to 64 bytes. No flag: "
        "other users of the machine could read it.",
    )
    shutdown_timeout_s: int = Field(
        30, ge=0, description="How long requests under way may go on after a signal to stop, in seconds."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, PlatformVariables(settings_cls)


class PlatformVariables(PydanticBaseSettingsSource):
    """The variables that the containers of Inference Endpoints, and other platforms, set."""

    def __call__(self) -> dict[str, Any]:
        return platform_settings(os.environ)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return platform_settings(os.environ).get(field_name), field_name, False


def platform_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings among a platform's variables.

    HF_MODEL_DIR counts only when there is a model in it: the containers name their mount point even when
    the model is to come from HF_MODEL_ID.
    """
    found = {
        "model": environ.get("HF_MODEL_ID"),
        "revision": environ.get("HF_REVISION"),
        "port": environ.get("PORT"),
    }
    directory = environ.get("HF_MODEL_DIR")
    if directory and (Path(directory) / "config.json").is_file():
        found["model"] = directory
    return {name: value for name, value in found.items() if value}


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the HF_ASR_* variables that mean nothing here: misspelt, most likely."""
    known = {variable_of(name) for name in Settings.model_fields}
    return sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in known)


def flag_of(name: str) -> str:
    """Return the command line's flag for a setting; an empty text for one that has none."""
    return "" if name in VARIABLE_ONLY else f"--{name.replace('_', '-')}"


def variable_of(name: str) -> str:
    """Return the environment variable for a setting."""
    return f"{ENV_PREFIX}{name.upper()}"


def default_of(name: str) -> str:
    """Return a setting's default as documentation shows it."""
    if name == "cache_dir":
        return "~/.cache/hf-asr-endpoint"
    default = Settings.model_fields[name].default
    if isinstance(default, ByteSize):
        return f"{default // 2**20}MiB"
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) if default not in (None, ()) else ""


def settings_table() -> str:
    """Return the README's table of all settings, in Markdown."""
    rows = ["| flag | variable | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = f"`{default_of(name)}`" if default_of(name) else ""
        flag = f"`{flag_of(name)}`" if flag_of(name) else ""
        rows.append(f"| {flag} | `{variable_of(name)}` | {default} | {field.description} |")
    return "\n".join(rows)
