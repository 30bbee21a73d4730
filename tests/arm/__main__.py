"""Runs the kernels' tests on an emulated Arm processor. Run by `make test-arm`.

qemu tells whether results are right, not how fast they are there: the tests take half an hour.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.arm.environment import ArmEnvironment, Missing, prepare

FOLDER = Path("build") / "arm"

TESTS = (
    "tests/whisper/kernels/test_arm_code.py",
    "tests/whisper/kernels/test_arm_features.py",
    "tests/whisper/kernels/test_exactness.py",
    "tests/whisper/kv_cache",
    "tests/whisper/model",
)
"""Those at levels, without those of compiled kernels' cache: they start processes, which qemu does not run."""

WITH_DOT_PRODUCT, WITHOUT = "max", "a64fx"  # Armv8.2 with SVE; torch itself needs Armv8.1.

REFUSED = """
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.kernels.processor import choose_level, levels
assert levels() == (), levels()
assert choose_level("auto") is None
try:
    choose_level("neon-dotprod")
except ModelUnavailable as error:
    print(error)
"""
REFUSAL = "this processor lacks the instructions of cpu level 'neon-dotprod'; allowed here: auto, none"


def main() -> int:
    """Return the exit status. A machine that lacks something skips the tests, and is told what."""
    try:
        environment = prepare(FOLDER.absolute())
    except Missing as missing:
        print(f"skipped: {missing}")
        return 0
    return _check_refusal(environment) or _run_tests(environment)


def _check_refusal(environment: ArmEnvironment) -> int:
    command = environment.command("-c", REFUSED, processor=WITHOUT)
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    print(f"{WITHOUT}: {printed}", flush=True)
    return int(printed != REFUSAL)


def _run_tests(environment: ArmEnvironment) -> int:
    pytest = (
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--quiet",
        "-k",
        "neon or arm_features or arm_code",
    )
    command = environment.command(*pytest, *TESTS, *sys.argv[1:], processor=WITH_DOT_PRODUCT)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
