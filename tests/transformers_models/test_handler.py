"""handler.py deploys any speech recognition repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handler import EndpointHandler
from hf_asr_endpoint.errors import UnsupportedValue


@pytest.fixture
def handler(
    directories: dict[str, Path], cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EndpointHandler]:
    monkeypatch.setenv("HF_ASR_CACHE_DIR", str(cache_dir))
    made = EndpointHandler(str(directories["ctc"]))
    yield made
    made._services.transcriber.close()


def test_the_handler_serves_a_model_that_is_not_whisper(handler: EndpointHandler, jfk: bytes) -> None:
    answer = handler({"inputs": jfk, "parameters": {"return_timestamps": "word"}})
    assert answer["text"]
    assert [chunk["text"].strip() for chunk in answer["chunks"]] == answer["text"].split()
    with pytest.raises(UnsupportedValue, match="num_beams is 2, but this wav2vec2 model"):
        handler({"inputs": jfk, "parameters": {"generation_parameters": {"num_beams": 2}}})
