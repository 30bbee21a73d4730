from __future__ import annotations

import pytest

from hf_asr_endpoint.engine.engine import Engine
from tests.engine.callers import N_SLOTS
from tests.fake_model import FakeSpeechModel


@pytest.fixture
def model() -> FakeSpeechModel:
    return FakeSpeechModel(n_slots=N_SLOTS)


@pytest.fixture
def engine(model: FakeSpeechModel) -> Engine:
    """Not started: tests take the steps."""
    return Engine(model, slots=N_SLOTS)
