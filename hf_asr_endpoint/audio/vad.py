"""Speech probabilities from silero-vad's 16 kHz network, a block of steps at a time. Knows no spans and no chunks.

The package's own loop runs its TorchScript once for each step of 32 ms. Only the LSTM depends on earlier steps, so
everything else is computed here for many steps at once, with the same probabilities.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from hf_asr_endpoint.audio.speech_spans import N_STEP_SAMPLES, Probabilities
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE

N_CONTEXT_SAMPLES = 64  # samples before a step that belong to its input
N_MIRRORED = 64  # samples reflected at the end of a step
SPECTRUM_SAMPLES = 256  # in one spectrum
SPECTRUM_HOP = 128  # samples between spectra: four of them in a step
N_BINS = SPECTRUM_SAMPLES // 2 + 1
N_STATE = 128  # width of the LSTM

MAX_STEPS = 8 * SAMPLE_RATE // N_STEP_SAMPLES
"""Steps computed at once, however long the block is: 8 s take about 4 MB and are as fast as larger parts."""


class VoiceActivityDetector:
    """The network's weights, loaded once. Threads may share it, because nothing in it changes."""

    def __init__(self) -> None:
        self._network = _load_network()

    def stream(self) -> VoiceActivityStream:
        """Begin a recording."""
        return VoiceActivityStream(self._network)


class VoiceActivityStream:
    """A `SpeechStream`. A block should have a second or more: a call takes at least a quarter of a millisecond."""

    def __init__(self, network: _Network) -> None:
        self._network = network
        self._waiting = np.zeros(N_CONTEXT_SAMPLES, np.float32)  # the context, then an incomplete step
        self._constant: _ConstantInput | None = None
        # transformers changes torch's default dtype while it loads another model.
        zeros = torch.zeros(1, N_STATE, dtype=torch.float32)
        self._state = (zeros, zeros)

    def push(self, block: Waveform) -> Probabilities:
        n_at_once = MAX_STEPS * N_STEP_SAMPLES
        parts = [self._push(block[begin : begin + n_at_once]) for begin in range(0, len(block), n_at_once)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def finish(self) -> Probabilities:
        n_left = len(self._waiting) - N_CONTEXT_SAMPLES
        return self._push(np.zeros(-n_left % N_STEP_SAMPLES, np.float32))

    def _push(self, block: Waveform) -> Probabilities:
        samples = np.concatenate([self._waiting, block])
        n_steps = (len(samples) - N_CONTEXT_SAMPLES) // N_STEP_SAMPLES
        n_used = n_steps * N_STEP_SAMPLES
        self._waiting = samples[n_used:].copy()
        if n_steps == 0:
            return np.zeros(0, np.float32)
        with torch.inference_mode():
            features = self._features(samples[: n_used + N_CONTEXT_SAMPLES])
            probabilities, self._state = self._network.probabilities(features, self._state)
        return probabilities.numpy()

    def _features(self, samples: Waveform) -> torch.Tensor:
        """Return the network's features, kept for digital silence, whose hours compress to nothing."""
        if self._constant is not None and self._constant.is_same(samples):
            return self._constant.features
        features = self._network.features(torch.from_numpy(samples))
        is_constant = bool((samples == samples[0]).all())
        self._constant = (
            _ConstantInput(value=samples[0], n_samples=len(samples), features=features) if is_constant else None
        )
        return features


@dataclass(frozen=True, slots=True, kw_only=True)
class _ConstantInput:
    """Samples of one value, and their features."""

    value: np.float32
    n_samples: int
    features: torch.Tensor

    def is_same(self, samples: Waveform) -> bool:
        return len(samples) == self.n_samples and bool((samples == self.value).all())


_State = tuple[torch.Tensor, torch.Tensor]
"""The LSTM's h and c, each (1, N_STATE)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Convolution:
    """Kernel 3, padding 1, then a ReLU, as one matrix product: torch's own arranges its weights anew in each call,
    which takes longer than the convolution of a few steps.

    weight: shape = (3 × n_in, n_out).
    """

    weight: torch.Tensor
    bias: torch.Tensor
    stride: int

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """features: shape = (n_steps, n_positions, n_in)."""
        n_steps, n_positions, n_in = features.shape
        padded = F.pad(features, (0, 0, 1, 1))
        size = (n_steps, (n_positions - 1) // self.stride + 1, 3 * n_in)
        windows = padded.as_strided(size, (padded.stride(0), self.stride * n_in, 1))
        products = torch.addmm(self.bias, windows.reshape(-1, size[2]), self.weight)
        return products.relu_().view(n_steps, size[1], -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    """The layers of silero-vad's model, over many steps."""

    window: torch.Tensor
    """Hann's, (SPECTRUM_SAMPLES,). The network's first layer is this window times sines and cosines, to 4e-5."""
    convolutions: tuple[_Convolution, ...]
    lstm: torch.nn.LSTM
    output_weight: torch.Tensor
    output_bias: torch.Tensor

    def features(self, samples: torch.Tensor) -> torch.Tensor:
        """Return each step's features, (n_steps, N_STATE), which depend on no other step.

        samples: (N_CONTEXT_SAMPLES + n_steps × N_STEP_SAMPLES,)
        """
        features = self._spectra(samples.unfold(0, N_CONTEXT_SAMPLES + N_STEP_SAMPLES, N_STEP_SAMPLES))
        for convolution in self.convolutions:
            features = convolution(features)  # 4, 2, 1, 1 positions in each step
        return features[:, 0]

    def probabilities(self, features: torch.Tensor, state: _State) -> tuple[torch.Tensor, _State]:
        """Return the probabilities, (n_steps,), and the state after them."""
        hidden, state = self.lstm(features, state)  # (n_steps, N_STATE)
        logits = F.linear(hidden.relu_(), self.output_weight, self.output_bias)
        return logits.sigmoid_()[:, 0], state

    def _spectra(self, steps: torch.Tensor) -> torch.Tensor:
        """Return magnitudes, (n_steps, 4, N_BINS)."""
        padded = F.pad(steps[:, None], (0, N_MIRRORED), mode="reflect")[:, 0]
        frames = padded.unfold(1, SPECTRUM_SAMPLES, SPECTRUM_HOP)  # (n_steps, 4, SPECTRUM_SAMPLES)
        spectra: torch.Tensor = torch.fft.rfft(frames * self.window)
        # torch's own magnitude takes three times as long.
        return spectra.real.square().add_(spectra.imag.square()).sqrt_()


def _load_network() -> _Network:
    weights = _load_weights()
    lstm = torch.nn.LSTM(N_STATE, N_STATE, device="meta")
    names = [name for name, _ in lstm.named_parameters()]
    lstm.load_state_dict({name: weights[f"decoder.rnn.{name.removesuffix('_l0')}"] for name in names}, assign=True)
    return _Network(
        window=torch.hann_window(SPECTRUM_SAMPLES),
        convolutions=tuple(
            _Convolution(
                weight=weights[f"encoder.{i}.reparam_conv.weight"].permute(2, 1, 0).flatten(0, 1).contiguous(),
                bias=weights[f"encoder.{i}.reparam_conv.bias"],
                stride=stride,
            )
            for i, stride in enumerate((1, 2, 2, 1))
        ),
        lstm=lstm.requires_grad_(False),
        output_weight=weights["decoder.decoder.2.weight"][:, :, 0],
        output_bias=weights["decoder.decoder.2.bias"],
    )


def _load_weights() -> Mapping[str, torch.Tensor]:
    """Read the 16 kHz half of the package's TorchScript file.

    Its silero_vad_16k.safetensors would be simpler to read, but was trained differently and gives other
    probabilities: https://github.com/snakers4/silero-vad/issues/768
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # No other format that torch reads has these weights.
        path = _find_package() / "data" / "silero_vad.jit"
        script = torch.jit.load(path, map_location="cpu")
    prefix = "_model."
    return {
        name.removeprefix(prefix): tensor.detach()
        for name, tensor in script.state_dict().items()
        if name.startswith(prefix)
    }


def _find_package() -> Path:
    """Return silero_vad's folder without importing it: the import sets torch's number of threads to one."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("silero_vad is not installed; install the package silero-vad", name="silero_vad")
    return Path(spec.origin).parent
