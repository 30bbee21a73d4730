"""The settings of the process. One definition gives each its flag, its variable and its row in docs/settings.md.

It knows where settings come from, not what they are used for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ByteSize, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from hf_asr_endpoint.job_settings import JobSettings
from hf_asr_endpoint.logs import LogFormat
from hf_asr_endpoint.model_settings import ModelSettings
from hf_asr_endpoint.platform_variables import PlatformVariables
from hf_asr_endpoint.setting_types import (
    OnOff,
    OpenPaths,
    Origins,
    Port,
    Replicas,
    RootPath,
)
from hf_asr_endpoint.user_folders import cache_folder

ENV_PREFIX = "HF_ASR_"

VARIABLE_ONLY = ("api_keys", "jobs_database", "webhook_secret")
"""Settings without a flag, because every user of a machine can read the flags of its processes."""


class ServerSettings(ModelSettings):
    """All settings but those of jobs."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` accepts other machines.")
    port: Port = Field(8000, description="Port to listen on; 0 picks a free one. Also read from `PORT`.")
    wyoming_port: Port | None = Field(
        None, description="Port for the Wyoming protocol, Home Assistant's, usually 10300; 0 picks a free one."
    )
    wyoming_without_keys: OnOff = Field(
        "off",
        description="`on`: the Wyoming port is open to all beside API keys, which that protocol lacks.",
    )
    cors_origins: Origins = Field(
        (),
        description="Origins, separated by commas, whose pages may use the server from a browser, such as "
        "`https://app.example,http://localhost:3000`; `*`: all.",
    )
    api_keys: SecretStr | None = Field(
        None,
        description="API keys, separated by commas, each as `KEY` or `NAME:KEY`: every request needs one of them. "
        "The name, before the first colon, is for the log. It has no flag, because other users of the machine "
        "could read that.",
    )
    api_keys_file: Path | None = Field(
        None,
        description="File with more such keys, a line each; `#` begins a comment. Read again after the signal "
        "SIGHUP.",
    )
    open_paths: OpenPaths = Field(
        ("/health", "/docs"),
        description="Which of `/health`, `/info`, `/metrics` and `/docs` (with `/openapi.json`) need no key, "
        "separated by commas; `none`: all need one.",
    )
    root_path: RootPath = Field(
        "",
        description="Path under which a proxy serves this server, such as `/whisper`. Requests may come with or "
        "without it.",
    )
    playground: OnOff = Field(
        "on",
        description="`on`: `GET /` shows browsers a page to try the server with. The page needs no key; what it "
        "asks the server for does.",
    )
    cache_dir: Path = Field(
        default_factory=cache_folder,
        description="Folder for files that can be made again: converted weights and compiled kernels.",
    )
    max_audio_bytes: ByteSize = Field(
        ByteSize(100 * 2**20), gt=0, description="Maximum size of a request's audio file, such as `100MiB`."
    )
    openai_max_audio_bytes: ByteSize = Field(
        ByteSize(25 * 2**20),
        gt=0,
        description="Maximum size of the audio file on OpenAI's paths, whose clients expect OpenAI's limit; "
        "`max_audio_bytes` applies there as well.",
    )
    max_audio_s: float = Field(6 * 3600.0, gt=0, description="Maximum duration of a request's audio, in seconds.")
    subtitle_max_s: float = Field(
        7.0, ge=1, description="Maximum duration of one subtitle cue, in seconds; longer segments are split."
    )
    subtitle_max_characters: int = Field(
        84,
        ge=20,
        description="Maximum characters in one subtitle cue, which has two lines of at most half as many.",
    )
    subtitle_max_fullwidth_characters: int = Field(
        32, ge=10, description="The same for characters twice as wide: Chinese, Japanese and Korean ones."
    )
    max_concurrent_requests: int = Field(
        64,
        ge=1,
        description="Maximum requests that wait or are worked on; one more gets status 429. With API keys, "
        "an eighth of them is kept for other keys than the one that holds the rest.",
    )
    max_waiting_audio_s: float = Field(
        12 * 3600.0,
        gt=0,
        description="Maximum audio that these requests wait with for a model, in seconds, as far as their files "
        "tell; a request beyond that gets status 429, unless nothing else waits. Jobs do not count.",
    )
    max_wait_s: float = Field(
        600.0,
        gt=0,
        description="Maximum time that the audio of others may keep a request waiting for its turn, in seconds, "
        "by the measured speed; a request beyond that gets status 429. Jobs wait.",
    )
    max_live_sessions: int = Field(
        64, ge=1, description="Maximum live sessions that are open; one more gets status 429."
    )
    max_live_session_s: float = Field(
        3600.0, gt=0, description="Maximum length of a live session, in seconds; then it is closed."
    )
    live_idle_timeout_s: float = Field(
        900.0, gt=0, description="Maximum time without an event in a live session, in seconds; then it is closed."
    )
    max_live_waiting_audio_s: float = Field(
        30.0,
        gt=0,
        description="Maximum audio of a live session that waits to be decoded, in seconds; then no more is read.",
    )
    request_timeout_s: float = Field(
        3600.0,
        gt=0,
        description="Maximum time from the end of an upload to its transcription, in seconds; then status 504. "
        "Jobs have no such limit.",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        description="Maximum open connections, and as many more on the Wyoming port. One more takes the place of "
        "the one that has been idle the longest; if none is, it gets status 429.",
    )
    header_timeout_s: float = Field(
        30.0, gt=0, description="Maximum time for the headers of a request, in seconds; then status 408."
    )
    send_timeout_s: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="How long a client may leave a response unread, in seconds; then the connection is closed. On "
        "Linux only.",
    )
    upload_timeout_s: float = Field(
        1800.0, gt=0, description="Maximum time for a whole upload, in seconds; then status 408."
    )
    upload_idle_timeout_s: float = Field(
        60.0, gt=0, description="Maximum pause during an upload, in seconds; then status 408."
    )
    price_per_s: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Price of one second of audio, for the `cost` in DeepInfra's responses.",
    )
    shutdown_timeout_s: int = Field(
        30, ge=0, description="How long requests in flight may continue after a signal to stop, in seconds."
    )
    ray_engine_replicas: Replicas = Field(
        "1",
        description="On Ray: engines for each model, such as `2`; or `1-8`, as many as the requests need.",
    )
    ray_engine_cpus: int | None = Field(
        None,
        ge=1,
        description="On Ray: cores of each engine. Without it: all cores of the machines, shared between the most "
        "engines that there may be; one core beside a GPU.",
    )
    ray_engine_gpus: float | None = Field(
        None,
        ge=0,
        description="On Ray: GPUs of each engine; 0.5 lets two share one. Without it: 1 if the cluster has GPUs "
        "and the device is not a CPU.",
    )
    ray_engine_requests: int = Field(
        16,
        ge=1,
        description="On Ray: requests in flight for each engine, beyond which a range of replicas gets one more.",
    )
    ray_http_replicas: Replicas = Field(
        "1",
        description="On Ray: processes that talk HTTP, as a number or a range. With more than one, jobs "
        "need `jobs_database`.",
    )
    ray_upscale_delay_s: float = Field(
        30.0,
        ge=0,
        description="On Ray, with a range: how long there must be too many requests until a replica is added, "
        "in seconds.",
    )
    ray_downscale_delay_s: float = Field(
        600.0,
        ge=0,
        description="On Ray, with a range: how long there must be too few until one is removed, in seconds.",
    )
    log_format: LogFormat = Field(
        "text",
        description="Lines of the log: `text` for people, or `json`, an object with fields for each request.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
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


class Settings(JobSettings, ServerSettings):
    """Read from flags, else HF_ASR_* variables, else the variables that hosting platforms set, else defaults."""


def flag_of(name: str) -> str:
    """Return the command-line flag of a setting, or "" if it has none."""
    return "" if name in VARIABLE_ONLY else f"--{name.replace('_', '-')}"


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{ENV_PREFIX}{name.upper()}"


def without_secrets(settings: Settings) -> Settings:
    """Return the settings for processes that need no secret, such as those of engines on other machines."""
    return settings.model_copy(update=dict.fromkeys(VARIABLE_ONLY))
