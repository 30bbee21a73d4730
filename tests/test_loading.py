"""Models are loaded one at a time: libraries change what is the whole process's while they load."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import torch

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.loading import load_transcriber
from hf_asr_endpoint.model_choice import choose_models
from hf_asr_endpoint.transcription.transcriber import Transcriber
from tests.fakes import DEADLINE_S
from tests.transformers_models.small_models import write_moonshine

LAST_STEP = "the weights to be loaded"


def test_a_model_is_loaded_once_no_other_one_is(tmp_path: Path) -> None:
    settings = Settings(model=(str(write_moonshine(tmp_path)),), cache_dir=tmp_path, dtype="bfloat16")
    choice = choose_models(settings)[0]
    is_loading, may_load = threading.Event(), threading.Event()
    steps: SimpleQueue[str] = SimpleQueue()

    def wait_in_the_load(step: str) -> None:
        if step == LAST_STEP:
            is_loading.set()
            assert may_load.wait(DEADLINE_S)

    def load_second() -> Transcriber:
        assert is_loading.wait(DEADLINE_S)
        return load_transcriber(choice, settings, steps.put)

    def told_by_second() -> list[str]:
        told = [steps.get(timeout=DEADLINE_S)]
        while told[-1] not in ("another model to be loaded", LAST_STEP):
            told.append(steps.get(timeout=DEADLINE_S))
        return told

    with ThreadPoolExecutor() as threads:
        loads = [
            threads.submit(load_transcriber, choice, settings, wait_in_the_load),
            threads.submit(load_second),
        ]
        assert LAST_STEP not in told_by_second()
        may_load.set()
        assert told_by_second()[-1] == LAST_STEP
        for load in loads:
            with closing(load.result(DEADLINE_S)) as transcriber:
                assert transcriber.health().state == "ready"
    assert torch.get_default_dtype() == torch.float32
