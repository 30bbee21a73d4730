"""Types of settings that need more than a number's range: how a text becomes their value, and what is refused."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # https://www.standardwebhooks.com

MAX_PORT = 65_535

_DEFAULT_PORTS = {"http": 80, "https": 443}  # Browsers leave them out.
_REPLICAS = re.compile(r"[1-9][0-9]{0,3}(-[1-9][0-9]{0,3})?", re.ASCII)
_NAMED_GPU = re.compile(r"cuda:(0|[1-9][0-9]{0,2})|(GPU|MIG)-[0-9A-Za-z][0-9A-Za-z/-]{0,99}", re.ASCII)
_PATH = re.compile(r"(/[\w.~-]+)+", re.ASCII)
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
)


def _split(value: object) -> object:
    """Split a text, or each of several, at commas."""
    if not isinstance(value, str | list):
        return value
    texts = [value] if isinstance(value, str) else value
    return [name.strip() for text in texts for name in str(text).split(",") if name.strip()]


def _split_or_none(value: object) -> object:
    return () if value == "none" else _split(value)


def _check_origins(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value if value == "*" else _as_browsers_write(value) for value in values)


def _as_browsers_write(value: str) -> str:
    found = _ORIGIN.fullmatch(value.lower().removesuffix("/"))
    if not found or int(found["port"] or 0) > MAX_PORT:
        raise ValueError(f"{value!r} is not an origin; allowed: `*`, or like https://app.example:8443")
    is_default = found["port"] is None or int(found["port"]) == _DEFAULT_PORTS.get(found["scheme"])
    return f"{found['scheme']}://{found['host']}" + ("" if is_default else f":{found['port']}")


def _check_root_path(value: str) -> str:
    if value in ("", "/"):
        return ""
    path = value.removesuffix("/")
    if not _PATH.fullmatch(path):
        raise ValueError(f"{value!r} is not a path; allowed: like /whisper or /apps/whisper")
    return path


def _check_secret(value: SecretStr) -> SecretStr:
    try:
        n_bytes = len(base64.b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True))
    except ValueError:
        n_bytes = 0
    if not MIN_SECRET_BYTES <= n_bytes <= MAX_SECRET_BYTES:
        raise ValueError(f"allowed: base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, after whsec_")
    return value


def _check_database(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("allowed: like postgresql://USER:PASSWORD@HOST:5432/NAME")
    return value


def read_replicas(text: str) -> tuple[int, int]:
    """Return the fewest and the most replicas. Raises ValueError."""
    if not _REPLICAS.fullmatch(text):
        raise ValueError("allowed: a number from 1, such as 2, or a range, such as 1-8")
    fewest, _, most = text.partition("-")
    if int(most or fewest) < int(fewest):
        raise ValueError("allowed: a range whose end is not below its beginning, such as 1-8")
    return int(fewest), int(most or fewest)


def is_named_gpu(device: str) -> bool:
    """Return whether a device is a certain GPU, or a part of one: by its number, or by its UUID."""
    return _NAMED_GPU.fullmatch(device) is not None


def _check_devices(devices: tuple[str, ...]) -> tuple[str, ...]:
    are_gpus = all(map(is_named_gpu, devices))
    is_one_kind = are_gpus or (devices[0] in get_args(Device) and len({*devices}) == 1)
    if not devices or not is_one_kind:
        raise ValueError(f"allowed: {DEVICES}")
    if twice := next((one for one in devices if devices.count(one) > 1 and one != "cpu"), None):
        raise ValueError(f"{twice} is given twice; allowed: {DEVICES}")
    return devices


def _check_replicas(text: str) -> str:
    read_replicas(text)
    return text


Device = Literal["auto", "cpu", "cuda", "mps"]
"""What an engine's process computes on. "cuda": its first GPU."""
Dtype = Literal["auto", "float32", "bfloat16", "float16", "int8"]
CpuLevel = Literal[
    "auto", "amx", "avx512-bf16", "avx512-vnni", "avx-vnni", "avx2", "neon-i8mm", "neon-dotprod", "none"
]
EngineChoice = Literal["auto", "native", "transformers"]
LoadAt = Literal["start", "first-use"]
OnOff = Literal["on", "off"]
Port = Annotated[int, Field(ge=0, le=MAX_PORT)]
DEVICES = "auto, cpu, cuda or mps; or several of one kind, a GPU once: cuda:0,cuda:1, GPU-… or MIG-…; cpu,cpu"
Slots = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]

PreparationProcesses = Annotated[int, Field(ge=0, le=64)] | Literal["auto"]

Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Names with commas between them."""

Devices = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_check_devices)]
"""A `Device`, or the names of one or several: each gets an engine in a process of its own."""

Origins = Annotated[Names, AfterValidator(_check_origins)]
"""Origins of pages, as browsers write them, or "*"."""

OpenPaths = Annotated[
    tuple[Literal["/health", "/info", "/metrics", "/docs"], ...], NoDecode, BeforeValidator(_split_or_none)
]
"""Paths that may need no key."""

Replicas = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_check_replicas)]
"""A number, or a range within which the load decides; `read_replicas` reads it. Files in YAML have numbers."""

RootPath = Annotated[str, AfterValidator(_check_root_path)]
"""A path without a slash at its end; empty for the root."""

WebhookSecret = Annotated[SecretStr, AfterValidator(_check_secret)]
"""`whsec_` and base64 of MIN_SECRET_BYTES to MAX_SECRET_BYTES."""

JobsDatabase = Annotated[SecretStr, AfterValidator(_check_database)]
"""A URL of PostgreSQL, which may have a password."""
