"""Speech probabilities equal those of silero-vad's own loop, whatever the size of the blocks."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES
from hf_asr_endpoint.audio.vad import MAX_STEPS, VoiceActivityDetector
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.audio.tones import DATA, decode
from tests.default_dtype import default_dtype

TOLERANCE = 5e-5  # The order of additions differs, and the LSTM carries the differences on.

Detect = Callable[[Waveform], np.ndarray]


@pytest.fixture(scope="module")
def detector() -> VoiceActivityDetector:
    return VoiceActivityDetector()


@pytest.fixture(scope="module")
def reference() -> Iterator[Detect]:
    """silero-vad's TorchScript, one step at a time."""
    n_threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from silero_vad import load_silero_vad

        model = load_silero_vad(onnx=False)

    def detect(waveform: Waveform) -> np.ndarray:
        model.reset_states()
        padded = np.pad(waveform, (0, -len(waveform) % N_STEP_SAMPLES))
        steps = torch.from_numpy(padded).view(-1, N_STEP_SAMPLES)
        return np.array([model(step, SAMPLE_RATE).item() for step in steps], np.float32)

    yield detect
    torch.set_num_threads(n_threads)  # Importing silero_vad sets them to one.


@pytest.fixture(scope="module")
def speech() -> Waveform:
    return decode((DATA / "../2033-164914-0007.flac").read_bytes())


def detect(detector: VoiceActivityDetector, waveform: Waveform, *, block_sizes: list[int]) -> np.ndarray:
    """Push the waveform in blocks of the sizes given, over and over."""
    stream = detector.stream()
    parts, begin = [], 0
    while begin < len(waveform):
        size = block_sizes[len(parts) % len(block_sizes)]
        parts.append(stream.push(waveform[begin : begin + size]))
        begin += size
        assert sum(map(len, parts)) == min(begin, len(waveform)) // N_STEP_SAMPLES
    return np.concatenate([*parts, stream.finish()])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("../jfk.mp3", id="speech"),
        pytest.param("../fleurs-fr-000.ogg", id="French"),
        pytest.param("female_scrub.spx", id="telephone"),
        pytest.param("vorbis.webm", id="webm"),
        pytest.param("bus.opus", id="noise"),
    ],
)
def test_probabilities_equal_those_of_silero_vad(
    detector: VoiceActivityDetector, reference: Detect, name: str
) -> None:
    waveform = decode((DATA / name).read_bytes())
    probabilities = detect(detector, waveform, block_sizes=[10**9])
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, reference(waveform), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    "block_sizes",
    [
        pytest.param([N_STEP_SAMPLES], id="steps"),
        pytest.param([3 * N_STEP_SAMPLES], id="three steps"),
        pytest.param([1, 0, 77, 511, 513], id="about a step"),
        pytest.param([4_096, 0, 9_999], id="uneven blocks"),
        pytest.param([SAMPLE_RATE], id="seconds"),
        pytest.param([10**9], id="one block"),
    ],
)
@pytest.mark.parametrize(
    "n_left_out",
    [pytest.param(0, id="whole"), pytest.param(300, id="300 samples less"), pytest.param(80, id="80 less")],
)
def test_probabilities_do_not_depend_on_the_blocks(
    detector: VoiceActivityDetector,
    reference: Detect,
    speech: Waveform,
    block_sizes: list[int],
    n_left_out: int,
) -> None:
    waveform = speech[n_left_out:]
    probabilities = detect(detector, waveform, block_sizes=block_sizes)
    np.testing.assert_allclose(probabilities, reference(waveform), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("n_steps", [MAX_STEPS - 1, MAX_STEPS, MAX_STEPS + 1, 3 * MAX_STEPS + 7])
def test_probabilities_of_long_blocks_equal_those_of_silero_vad(
    detector: VoiceActivityDetector, reference: Detect, speech: Waveform, n_steps: int
) -> None:
    waveform = np.resize(speech, n_steps * N_STEP_SAMPLES + 100)
    probabilities = detect(detector, waveform, block_sizes=[10**9])
    np.testing.assert_allclose(probabilities, reference(waveform), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("n_samples", [0, 1, 63, 64, 65, N_STEP_SAMPLES - 1, N_STEP_SAMPLES, N_STEP_SAMPLES + 1])
def test_an_incomplete_step_is_padded_with_zeros(
    detector: VoiceActivityDetector, reference: Detect, speech: Waveform, n_samples: int
) -> None:
    waveform = speech[SAMPLE_RATE : SAMPLE_RATE + n_samples]
    probabilities = detect(detector, waveform, block_sizes=[100])
    assert len(probabilities) == -(-n_samples // N_STEP_SAMPLES)
    np.testing.assert_allclose(probabilities, reference(waveform), rtol=0, atol=TOLERANCE)


def test_finish_returns_nothing_after_whole_steps(detector: VoiceActivityDetector, speech: Waveform) -> None:
    stream = detector.stream()
    assert stream.finish().shape == (0,)
    assert stream.push(speech[: 2 * N_STEP_SAMPLES]).shape == (2,)
    assert stream.finish().shape == (0,)


@pytest.mark.parametrize("level", [pytest.param(0.0, id="zero"), pytest.param(0.3, id="constant")])
def test_digital_silence_between_speech_has_the_same_probabilities(
    detector: VoiceActivityDetector, reference: Detect, speech: Waveform, level: float
) -> None:
    """The features of constant samples are kept; the LSTM's state and what follows must not differ."""
    words = speech[: 4 * N_STEP_SAMPLES * 20]
    waveform = np.concatenate([words, np.full(20 * len(words), level, np.float32), words])
    probabilities = detect(detector, waveform, block_sizes=[len(words) // 2])
    np.testing.assert_allclose(probabilities, reference(waveform), rtol=0, atol=TOLERANCE)


def test_streams_of_one_detector_are_independent(detector: VoiceActivityDetector, speech: Waveform) -> None:
    waveforms = [speech[begin:] for begin in range(0, 8_000, 1_000)]
    alone = [detect(detector, waveform, block_sizes=[4_000]) for waveform in waveforms]
    with ThreadPoolExecutor(4) as pool:
        side_by_side = list(pool.map(lambda waveform: detect(detector, waveform, block_sizes=[4_000]), waveforms))
    for one, other in zip(alone, side_by_side, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE)


def test_probabilities_do_not_depend_on_a_model_that_is_being_loaded(
    detector: VoiceActivityDetector, speech: Waveform
) -> None:
    expected = detect(detector, speech, block_sizes=[SAMPLE_RATE])
    with default_dtype(torch.bfloat16):
        probabilities = detect(detector, speech, block_sizes=[SAMPLE_RATE])
    np.testing.assert_array_equal(probabilities, expected)


def test_a_stream_holds_no_blocks(detector: VoiceActivityDetector) -> None:
    stream = detector.stream()
    block = np.zeros(30 * SAMPLE_RATE + 1, np.float32)
    stream.push(block)
    tracemalloc.start()
    stream.push(block)
    n_held, n_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_held < 100_000
    assert n_peak < block.nbytes


def test_loading_does_not_change_the_threads_of_torch() -> None:
    """Importing silero_vad sets them to one, which slows down everything else in the process."""
    code = """
import sys, torch
torch.set_num_threads(2)
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
VoiceActivityDetector()
assert torch.get_num_threads() == 2
assert "silero_vad" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_loading_does_not_use_random_numbers() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    VoiceActivityDetector()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="install the package silero-vad"):
        VoiceActivityDetector()
