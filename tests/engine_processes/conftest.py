"""Two real engines of one thread each, in their own processes, as a server with `--devices cpu,cpu` has them."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hf_asr_endpoint.audio.source import AudioSource, EncodedAudio, WaveformReader, open_waveform
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.engine_processes.start import load_on_devices
from hf_asr_endpoint.engine_processes.transcriber import EngineProcesses
from hf_asr_endpoint.model_choice import choose_models
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

DEADLINE_S = 180.0
N_TIMES = 6
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")


@pytest.fixture(scope="session")
def minutes(speech: Waveform) -> bytes:
    """Minutes of speech, as a wav of many blocks: work that does not end before a test has done what it does."""
    return wav(np.tile(speech, 15 * N_TIMES))


@pytest.fixture(scope="session")
def a_minute(speech: Waveform) -> bytes:
    """A minute of speech, as a wav of several blocks: three windows. A fast machine may do them in 0.3 s."""
    return wav(np.tile(speech, N_TIMES))


@pytest.fixture(scope="session")
def three_minutes(speech: Waveform) -> bytes:
    """More windows than an engine has slots, and work for several of its reports on a fast machine, too."""
    return wav(np.tile(speech, 3 * N_TIMES))


def wav(waveform: Waveform) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="WAV")
    return file.getvalue()


@contextmanager
def two_engines(cache_dir: Path, **settings: object) -> Iterator[EngineProcesses]:
    engine = {"model": ("embedded:whisper-tiny.en",), "devices": "cpu,cpu", "slots": 4, "max_beams": 2}
    given = Settings.model_validate({**engine, "cache_dir": cache_dir, "log_level": "warning", **settings})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with closing(load_on_devices(choose_models(given)[0], given, lambda _: None)) as transcriber:
            assert isinstance(transcriber, EngineProcesses)
            yield transcriber


@pytest.fixture(scope="module")
def transcriber(cache_dir: Path) -> Iterator[EngineProcesses]:
    with two_engines(cache_dir) as engines:
        yield engines


def read(audio: bytes | AudioSource) -> WaveformReader:
    source = EncodedAudio(file=io.BytesIO(audio)) if isinstance(audio, bytes) else audio
    return open_waveform(source, max_audio_s=3600.0)


def kill_engine(name: str) -> None:
    """Kill the process of an engine of this test's own transcriber."""
    (process,) = (one for one in multiprocessing.active_children() if one.name == f"engine {name}")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)


def children_of(pid: int) -> set[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return {int(child) for thread in threads for child in (thread / "children").read_text().split()}


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
