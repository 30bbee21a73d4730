"""What the tests of the command line share: the command as a process, and a folder of clips."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from tests.conftest import DATA
from tests.server import Server, run_server

MODEL = "embedded:whisper-tiny.en"
N_CLIPS, CLIP_S = 60, 2
BROKEN = "a-broken.mp3"
TIMEOUT_S = 120


def start(*arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start `hf-asr`; its stderr goes with its stdout."""
    command = [sys.executable, "-m", "hf_asr_endpoint", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **env}
    )


def run(*arguments: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run `hf-asr` to its end."""
    command = [sys.executable, "-m", "hf_asr_endpoint", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, timeout=TIMEOUT_S, env={**os.environ, **env}, check=False
    )


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with N_CLIPS clips of real speech, in two folders, and beside them a text and a broken file."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "more").mkdir()
    found = pieces()
    for index in range(N_CLIPS):
        path = folder / ("more" if index % 2 else "") / f"clip{index:02}.flac"
        samples, rate = next(found)
        soundfile.write(path, samples, rate)
    (folder / "notes.md").write_text("no audio")
    (folder / BROKEN).write_bytes(b"this is no audio at all")
    return folder


def pieces() -> Iterator[tuple[object, int]]:
    """Yield clips of CLIP_S of real speech, and their sample rate."""
    for path in sorted(DATA.glob("*.flac")):
        samples, rate = soundfile.read(path)
        for begin in range(0, len(samples) - CLIP_S * rate, rate // 4):
            yield samples[begin : begin + CLIP_S * rate], rate


@pytest.fixture(scope="session")
def tiny_server(cache_dir: Path) -> Iterator[Server]:
    """A server with the model that the tests of the command line use, and a key."""
    env = {**os.environ, "HF_ASR_API_KEYS": "anna:key-of-anna"}
    with run_server("--cache-dir", str(cache_dir), "--model", MODEL, env=env) as running:
        yield running
