"""Which models a server has, and how each is loaded: from the settings, or from a file that they name.

A file is TOML, with a table `[[model]]` for each model, whose keys are the fields of ModelChoice.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import InvalidSettings
from hf_asr_endpoint.setting_types import CpuLevel, Devices, Dtype, EngineChoice, LoadAt, Slots

FILE_SUFFIX = ".toml"


class ModelChoice(BaseModel):
    """One model. What a file leaves out is as the settings say.

    names: more names for clients. load_at: "start", and then it stays, or "first-use".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = Field(min_length=1)
    revision: str | None = None
    names: tuple[str, ...] = Field((), strict=False)
    engine: EngineChoice
    devices: Devices = Field(strict=False)
    dtype: Dtype
    cpu_level: CpuLevel
    slots: Slots
    load_at: LoadAt


def choose_models(settings: Settings) -> tuple[ModelChoice, ...]:
    """Return all models, the default one first. Raises InvalidSettings."""
    if len(settings.model) == 1 and settings.model[0].endswith(FILE_SUFFIX):
        choices = _read_file(Path(settings.model[0]), settings)
    else:
        choices = tuple(_choice(settings, {"model": reference}) for reference in settings.model)
    if len(choices) > 1 and settings.revision is not None:
        raise InvalidSettings(
            f"--revision is {settings.revision!r}, but there are {len(choices)} models; "
            f"allowed: one model, or a file that gives each its revision"
        )
    if choices[0].load_at != "start":
        raise InvalidSettings(f"load_at of the default model, {choices[0].model}, is first-use; allowed: start")
    if twice := [model for model, n in Counter(choice.model for choice in choices).items() if n > 1]:
        raise InvalidSettings(f"the model {twice[0]} is given twice; allowed: once")
    if len(choices) > 1 and (shared := [one for one in choices if one.devices.count("cpu") > 1]):
        raise InvalidSettings(
            f"{shared[0].model} has several engines on CPUs and is not the only model; allowed: one model; "
            "engines of several models take turns on the cores, which is possible in one process only"
        )
    default = choices[0]
    named = default.model_copy(update={"names": (*default.names, *settings.served_model_names)})
    return (named, *choices[1:])


def _choice(settings: Settings, given: Mapping[str, object]) -> ModelChoice:
    is_default = given.get("model") == settings.model[0]
    values = {
        "revision": settings.revision,
        "engine": settings.engine,
        "devices": settings.devices,
        "dtype": settings.dtype,
        "cpu_level": settings.cpu_level,
        "slots": settings.slots,
        "load_at": "start" if is_default else settings.load_models,
    }
    return ModelChoice.model_validate({**values, **given})


def _read_file(path: Path, settings: Settings) -> tuple[ModelChoice, ...]:
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise InvalidSettings(f"the file of models {path} cannot be read: {exc}") from exc
    tables = document.pop("model", None)
    if document or not isinstance(tables, list) or not tables or not all(isinstance(one, dict) for one in tables):
        raise InvalidSettings(f"the file of models {path} has no table [[model]], or others; allowed: only these")
    choices = []
    for number, table in enumerate(tables, 1):
        values = {"load_at": "start"} if number == 1 else {}
        try:
            choices.append(_choice(settings, {**values, **table}))
        except ValidationError as exc:
            problem = exc.errors(include_url=False)[0]
            key = problem["loc"][0]
            raise InvalidSettings(f"the file of models {path}, model {number}: {key}: {problem['msg']}") from None
    return tuple(choices)
