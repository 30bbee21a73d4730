from __future__ import annotations

import pytest

from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.errors import InvalidSettings, UnknownModel

MODELS = ServedModels([ServedModel(names=("openai/whisper-base", "whisper-base"))])


@pytest.mark.parametrize("name", ["whisper-1", "openai/whisper-base", "whisper-base"])
def test_each_accepted_name_passes(name: str) -> None:
    assert MODELS.find(name) is MODELS.default
    assert MODELS.choose(name) is None


@pytest.mark.parametrize("name", ["whisper-2", "openai/whisper-large-v3", "openai/whisper-1", "WHISPER-1", ""])
def test_another_name_is_refused_with_the_accepted_ones(name: str) -> None:
    with pytest.raises(UnknownModel, match="allowed: openai/whisper-base, whisper-base, whisper-1"):
        MODELS.find(name)


def test_a_long_name_is_shortened_in_the_message() -> None:
    with pytest.raises(UnknownModel) as refused:
        MODELS.find("x" * 1_000_000)
    assert len(str(refused.value)) < 300


SEVERAL = ServedModels([ServedModel(names=("a", "first")), ServedModel(names=("b", "second"), revision="v2")])


@pytest.mark.parametrize(
    ("name", "chosen"),
    [(None, None), ("a", None), ("first", None), ("whisper-1", None), ("b", "b"), ("second", "b")],
)
def test_each_of_several_models_has_its_names(name: str | None, chosen: str | None) -> None:
    assert SEVERAL.choose(name) == chosen
    assert SEVERAL.accepted_names == ("a", "first", "b", "second", "whisper-1")


def test_the_version_is_the_named_models() -> None:
    assert SEVERAL.choose("second", version="v2") == "b"
    with pytest.raises(UnknownModel, match="allowed: no version"):
        SEVERAL.choose("a", version="v2")


def test_openais_name_may_belong_to_another_model_than_the_default() -> None:
    models = ServedModels([ServedModel(names=("a",)), ServedModel(names=("b", "whisper-1"))])
    assert models.choose("whisper-1") == "b"


def test_two_models_cannot_have_one_name() -> None:
    with pytest.raises(InvalidSettings, match="two models have the name 'c'"):
        ServedModels([ServedModel(names=("a", "c")), ServedModel(names=("b", "c"))])


@pytest.mark.parametrize("version", [None, "", "abc"])
def test_the_served_version_or_none_passes(version: str | None) -> None:
    ServedModels([ServedModel(names=("a",), revision="abc")]).find("a", version=version)


@pytest.mark.parametrize(("revision", "allowed"), [("abd", "'abd'"), (None, "no version")])
def test_another_version_is_refused(revision: str | None, allowed: str) -> None:
    with pytest.raises(UnknownModel, match=f"the version 'abc' is not served here; allowed: {allowed}"):
        ServedModels([ServedModel(names=("a",), revision=revision)]).find("a", version="abc")
