"""Runs the kernels' tests on an emulated Arm processor. Run by `make test-arm`.

qemu tells whether results are right, not how fast they are there: the tests take 10 minutes to an hour.
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

WITH_ALL_LEVELS = "max"

CHOICE = """
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.kernels.processor import choose_level
print(choose_level("auto"))
for level in ("neon-i8mm", "neon-dotprod"):
    try:
        print(choose_level(level))
    except ModelUnavailable as error:
        print(error)
"""

REFUSAL = "this processor lacks the instructions of cpu level '{}'; allowed here: {}"

EXPECTED = {
    WITH_ALL_LEVELS: ["neon-i8mm", "neon-i8mm", "neon-dotprod"],
    "neoverse-n1": ["neon-dotprod", REFUSAL.format("neon-i8mm", "auto, neon-dotprod, none"), "neon-dotprod"],
    "a64fx": ["None", *(REFUSAL.format(level, "auto, none") for level in ("neon-i8mm", "neon-dotprod"))],
}
"""What CHOICE prints, by qemu's names of processors. torch itself needs Armv8.1."""


def main() -> int:
    """Return the exit status. A machine that lacks something skips the tests, and is told what."""
    try:
        environment = prepare(FOLDER.absolute())
    except Missing as missing:
        print(f"skipped: {missing}")
        return 0
    return _check_choice(environment) or _run_tests(environment)


def _check_choice(environment: ArmEnvironment) -> int:
    """Check which level "auto" is, and which are refused."""
    for processor, expected in EXPECTED.items():
        command = environment.command("-c", CHOICE, processor=processor)
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines()
        print(f"{processor}: {'; '.join(printed)}", flush=True)
        if printed != expected:
            return 1
    return 0


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
    command = environment.command(*pytest, *TESTS, *sys.argv[1:], processor=WITH_ALL_LEVELS)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
