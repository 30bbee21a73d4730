from __future__ import annotations

import pytest

from hf_asr_endpoint.api.served_model import ServedModel
from hf_asr_endpoint.errors import UnknownModel

MODEL = ServedModel(names=("openai/whisper-base", "whisper-base"))


@pytest.mark.parametrize("name", ["whisper-1", "openai/whisper-base", "whisper-base"])
def test_each_accepted_name_passes(name: str) -> None:
    MODEL.check(name)


@pytest.mark.parametrize("name", ["whisper-2", "openai/whisper-large-v3", "openai/whisper-1", "WHISPER-1", ""])
def test_another_name_is_refused_with_the_accepted_ones(name: str) -> None:
    with pytest.raises(UnknownModel, match="allowed: openai/whisper-base, whisper-base, whisper-1"):
        MODEL.check(name)


def test_a_long_name_is_shortened_in_the_message() -> None:
    with pytest.raises(UnknownModel) as refused:
        MODEL.check("x" * 1_000_000)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("version", [None, "", "abc"])
def test_the_served_version_or_none_passes(version: str | None) -> None:
    ServedModel(names=("a",), revision="abc").check("a", version=version)


@pytest.mark.parametrize(("revision", "allowed"), [("abd", "'abd'"), (None, "no version")])
def test_another_version_is_refused(revision: str | None, allowed: str) -> None:
    with pytest.raises(UnknownModel, match=f"the version 'abc' is not served here; allowed: {allowed}"):
        ServedModel(names=("a",), revision=revision).check("a", version="abc")
