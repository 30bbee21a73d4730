"""How many processes prepare audio."""

from __future__ import annotations

from typing import Literal

import pytest

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.preparation_processes.start import choose_n_processes


@pytest.mark.parametrize(
    ("wanted", "device", "n_cores", "n_processes"),
    [
        pytest.param("auto", "cpu", 64, 0, id="an engine on the CPU needs its cores"),
        pytest.param("auto", "mps", 8, 0, id="MPS"),
        pytest.param("auto", "cuda", 1, 0, id="the only core is the engine's"),
        pytest.param("auto", "cuda", 2, 1, id="one core beside the engine's"),
        pytest.param("auto", "cuda", 64, 8, id="no more than a GPU needs"),
        pytest.param(2, "cpu", 2, 2, id="as many as are asked for"),
        pytest.param(0, "cuda", 64, 0, id="none"),
    ],
)
def test_processes_by_device_and_cores(
    wanted: int | Literal["auto"], device: str, n_cores: int, n_processes: int
) -> None:
    assert choose_n_processes(wanted, device=device, n_cores=n_cores, platform="linux") == n_processes


def test_windows_has_none() -> None:
    assert choose_n_processes("auto", device="cuda", n_cores=8, platform="win32") == 0
    with pytest.raises(ModelUnavailable, match="--preparation-processes is 2; allowed on Windows: auto, 0"):
        choose_n_processes(2, device="cuda", n_cores=8, platform="win32")
