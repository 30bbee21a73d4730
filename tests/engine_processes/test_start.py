from __future__ import annotations

from pathlib import Path

import pytest

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.engine_processes.start import load_on_devices
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.model_choice import choose_models


def test_a_step_of_loading_is_told_once(tmp_path: Path) -> None:
    """torch is waited for twice: to count the GPUs, and to load the model."""
    settings, told = Settings(model=str(tmp_path)), list[str]()
    with pytest.raises(ModelUnavailable):
        load_on_devices(choose_models(settings)[0], settings, told.append)
    assert told[:1] == ["torch to be imported"]
    assert told.count("torch to be imported") == 1
