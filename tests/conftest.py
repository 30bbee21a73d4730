"""What tests share: recordings, converted weights, live servers."""

from __future__ import annotations

import io
import os
import secrets
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper import threads
from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model
from hf_asr_endpoint.whisper.kernels.processor import LEVELS
from tests.server import Server, run_server
from tests.whisper import levels
from tests.whisper.levels import EMULATED_HERE

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what runs in the background. Programs that tests interrupt would ignore the signal, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONG_FILES = (
    *("test_jobs_survive.py", "test_several_models.py", "engine_processes/test_server.py"),
    "preparation_processes/test_server.py",
    *("engine_processes/test_transcriber.py", "jobs/test_kills.py", "jobs/test_shared_servers.py"),
)
"""Below tests/: a few tests each, that take half a minute or more together."""
KERNEL_TESTS = ("tests/whisper/kernels/", "tests/whisper/kv_cache/", "tests/whisper/model/")
DATA = Path(__file__).parent / "data"
PRICE_PER_S = 0.001
ON_RAY = bool(os.environ.get("TEST_RAY"))
"""Whether the suite's server runs on Ray, with two engine replicas (`make test-ray`)."""
RAY_FLAGS = ("--ray", "--ray-engine-replicas", "2", "--ray-engine-cpus", "1") if ON_RAY else ()
needs_ray = pytest.mark.skipif(not ON_RAY, reason="needs Ray; run by `make test-ray`")
needs_live_sessions = pytest.mark.skipif(ON_RAY, reason="a server on Ray refuses live sessions")
MODEL_NAMES = (
    *("whisper-large-v3", "whisper-large-v3-turbo", "openai/whisper-large-v3"),
    *("gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-transcribe", "voxtral-mini-latest"),
)
"""Names of models that clients have built in. The server of the tests serves them beside its own."""


SERVER_FLAGS = (
    *("--max-audio-bytes", "2MiB", "--max-audio-s", "60"),
    *("--price-per-s", str(PRICE_PER_S), "--webhook-allowed-hosts", "127.0.0.1"),
    *("--served-model-names", ",".join(MODEL_NAMES)),
)


with suppress(ImportError):  # The kernels' tests run without it on an emulated Arm processor.
    from hypothesis import HealthCheck, settings

    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")  # No test asserts speed: a busy machine made examples "flaky".


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for converted weights and compiled kernels, empty when the session begins.

    The session's processes share it, as servers on one machine do.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _ray_token() -> None:
    """Without a token Ray makes one, and writes it into the home folder."""
    if ON_RAY:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))


@pytest.fixture(scope="session", autouse=True)
def _shared_kernels(cache_dir: Path) -> None:
    levels.cache_dir = cache_dir


@pytest.fixture(scope="session")
def base_directory(cache_dir: Path) -> Path:
    """whisper-base as transformers reads it."""
    return resolve_model("embedded:whisper-base", revision=None, cache_dir=cache_dir, report=lambda _: None)


@pytest.fixture(scope="session")
def tiny_en_directory(cache_dir: Path) -> Path:
    """whisper-tiny.en as transformers reads it."""
    return resolve_model("embedded:whisper-tiny.en", revision=None, cache_dir=cache_dir, report=lambda _: None)


@pytest.fixture(scope="session")
def server(cache_dir: Path) -> Iterator[Server]:
    """The server as a user starts it, with whisper-base."""
    with run_server(
        *("--cache-dir", str(cache_dir), *SERVER_FLAGS),
        *(RAY_FLAGS or ("--wyoming-port", "0")),
    ) as running:
        yield running


@pytest.fixture(scope="session")
def jfk() -> bytes:
    """An mp3 of 11 s of English speech."""
    return (DATA / "jfk.mp3").read_bytes()


@pytest.fixture(scope="session")
def speech(jfk: bytes) -> Waveform:
    """Eleven seconds of English."""
    return np.concatenate(list(decode_audio(io.BytesIO(jfk))))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch's threads spin while they wait for one another: ten times slower on cores that others use too."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "N_CORES", 1)
        yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def long_recording(speech: Waveform) -> bytes:
    """Thirty-four seconds, more than a window: the same speech three times."""
    return make_flac(np.concatenate([speech] * 3 + [np.zeros(SAMPLE_RATE, np.float32)]))


@pytest.fixture(scope="session")
def silent_minutes() -> bytes:
    """Ten minutes in a few kilobytes."""
    return make_flac(np.zeros(600 * SAMPLE_RATE, np.float32))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have xdist's processes begin with the longest files: one that is left to the end keeps all others waiting.

    First those that are known to be long, and then those with the most tests.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        long, sizes = {DATA.parent / name for name in LONG_FILES}, Counter(item.path for item in items)
        items.sort(key=lambda item: (item.path not in long, -sizes[item.path]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at which levels kernels were tested: this processor may lack some, or emulate them."""
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", ())]
    passed = [nodeid for nodeid in passed if nodeid.startswith(KERNEL_TESTS)]
    ran = [level for level in LEVELS if any(level in nodeid.partition("[")[2] for nodeid in passed)]
    shown = [f"{level} (emulated)" if level in EMULATED_HERE else level for level in ran]
    terminalreporter.write_line(
        f"kernels tested at these levels: {', '.join(shown) or 'none'}, of {', '.join(LEVELS)}"
    )


def make_flac(waveform: Waveform) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="FLAC")
    return file.getvalue()
