"""Which models a server has: from a list, or from a file that says more about each."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import InvalidSettings
from hf_asr_endpoint.model_choice import choose_models

FILE = """
[[model]]
model = "embedded:whisper-base"
names = ["base", "large"]

[[model]]
model = "someone/model"
revision = "v2"
dtype = "float32"
devices = "cuda:0,cuda:1"
cpu_level = "none"
slots = 4
load_at = "first-use"
"""


def settings(*models: str, **changes: object) -> Settings:
    return Settings.model_validate({"model": models, **changes})


def choose_from(tmp_path: Path, text: str, **changes: object) -> object:
    (tmp_path / "models.toml").write_text(text)
    return choose_models(settings(str(tmp_path / "models.toml"), **changes))


def test_one_model_is_as_the_settings_say() -> None:
    (choice,) = choose_models(settings("a/b", revision="v1", dtype="int8", slots=3, served_model_names="x"))
    assert (choice.model, choice.revision, choice.dtype, choice.slots) == ("a/b", "v1", "int8", 3)
    assert (choice.names, choice.load_at) == (("x",), "start")


def test_of_several_the_first_is_the_default_and_has_the_further_names() -> None:
    first, second = choose_models(settings("a/b", "c/d", served_model_names="x", load_models="first-use"))
    assert (first.model, first.names, first.load_at) == ("a/b", ("x",), "start")
    assert (second.model, second.names, second.load_at) == ("c/d", (), "first-use")


def test_a_file_gives_each_model_what_it_says_and_else_what_the_settings_say(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(FILE)
    first, second = choose_models(settings(str(tmp_path / "models.toml"), dtype="int8", slots=8))
    assert (first.model, first.names, first.dtype, first.slots, first.load_at) == (
        "embedded:whisper-base",
        ("base", "large"),
        "int8",
        8,
        "start",
    )
    assert (first.devices, second.devices) == (("auto",), ("cuda:0", "cuda:1"))
    assert (second.model, second.revision, second.dtype, second.slots, second.load_at) == (
        "someone/model",
        "v2",
        "float32",
        4,
        "first-use",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model = 3", r"no table \[\[model\]\]"),
        ("", r"no table \[\[model\]\]"),
        (FILE + "[other]", r"or others"),
        ("[[model]", "cannot be read"),
        ('model = ["a", "b"]', r"no table \[\[model\]\]"),
        ('[[model]]\nmodel = "a"\nsettings = 1', "model 1: settings: Extra inputs are not permitted"),
        ("[[model]]\nnames = []", "model 1: model: Field required"),
        ('[[model]]\nmodel = "a"\ntype = "x"', "model 1: type: Extra inputs are not permitted"),
        (
            '[[model]]\nmodel = "a"\n[[model]]\nmodel = "b"\nslots = 0',
            "model 2: slots: .* greater than or equal to 1",
        ),
        ('[[model]]\nmodel = "a"\nslots = "many"', "model 1: slots: .* valid integer"),
        ('[[model]]\nmodel = "a"\n[[model]]\nmodel = "a"', "the model a is given twice"),
        ('[[model]]\nmodel = "a"\ndevices = ["cuda:0", "cpu"]', "model 1: devices: .* several of one kind"),
        (
            '[[model]]\nmodel = "a"\n[[model]]\nmodel = "b"\ndevices = "cpu,cpu"',
            "b has several engines on CPUs and is not the only model",
        ),
        ('[[model]]\nmodel = "a"\nload_at = "first-use"', "load_at of the default model, a, is first-use"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InvalidSettings, match=problem):
        choose_from(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"cannot be read: .*No such file"):
        choose_models(settings(str(tmp_path / "none.toml")))


def test_a_revision_of_several_models_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="--revision is 'v1', but there are 2 models"):
        choose_models(settings("a/b", "c/d", revision="v1"))
