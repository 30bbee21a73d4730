"""A benchmark holds this project and its peers to one level of instructions."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import pytest

from bench.levels import HELD, add_level_option, level_environment
from hf_asr_endpoint.whisper.kernels.processor import LEVELS, levels

X86_LEVELS = [level for level in levels() if level in HELD]


def test_nothing_is_set_without_a_level() -> None:
    assert level_environment("auto") == {}


def test_each_level_is_one_of_the_servers() -> None:
    assert set(HELD) < set(LEVELS)


@pytest.mark.parametrize("level", X86_LEVELS)
def test_the_server_and_torch_use_the_level_and_no_more(level: str) -> None:
    code = (
        "import torch; from hf_asr_endpoint.config import Settings; "
        "print(Settings().cpu_level, torch.backends.cpu.get_cpu_capability())"
    )
    held = {**os.environ, **level_environment(level)}
    output = subprocess.run([sys.executable, "-c", code], env=held, stdout=subprocess.PIPE, check=True, text=True)
    assert output.stdout.split() == [level, "AVX512" if level.startswith("avx512") else "AVX2"]


def test_a_level_that_the_processor_lacks_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_level_option(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--cpu-level", "sse"])
    assert "lacks the instructions of cpu level 'sse'" in capsys.readouterr().err
