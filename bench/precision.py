"""How precise the int8 products of each kind of linear layer are, on activations of real speech, in dB.

Run by `make bench-precision`. Signal to noise is that of the product without its bias: 10 log10 of the sum of
squares of the product over that of its error. The noise of the layers before is no part of it. Quantization, and
what a norm takes over, are computed here as the layers do it, so that all columns can be had on every processor.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.gpu.batch import decode
from bench.recordings import short_clips
from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.user_folders import cache_folder
from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model
from hf_asr_endpoint.whisper.decoding.state import AttemptRules
from hf_asr_endpoint.whisper.kernels.layout import MAX_BYTE_PAIR, MAX_INT8, max_pair_element
from hf_asr_endpoint.whisper.loading import load_speech_model
from hf_asr_endpoint.whisper.model.layer_norm import evening_factors
from hf_asr_endpoint.whisper.model.linear import NormedLinear, PlainLinear, _quantize_weight
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel

N_CLIPS = 4
MAX_TOKENS = 40
ROWS_PER_CALL, MAX_ROWS = 32, 128  # that are measured: of an input, spread over it, and of a layer
ENCODER_PADDING_S = 4.0

OUTPUT = ("output",)

PARTS = {
    "_qkv": ("self q", "self k", "self v"),
    "self_qkv": ("self q", "self k", "self v"),
    "_out": ("self out",),
    "self_out": ("self out",),
    "cross_q": ("cross q",),
    "cross_out": ("cross out",),
    "_fc1": ("fc1",),
    "fc1": ("fc1",),
    "_fc2": ("fc2",),
    "fc2": ("fc2",),
}
"""The kinds of layers in an attribute of an encoder's or decoder's layer, whose rows they share equally."""


@dataclass(slots=True)
class Noise:
    """Sums of squares: of products in float32, and of the errors by the way that activations are quantized."""

    signal: float = 0.0
    errors: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, x: Tensor, weight: Tensor) -> None:
        """x: shape = (n_rows, n_in). weight: shape = (n_out, n_in)."""
        quantized, scales = _quantize_weight(weight)
        rounded = quantized * scales[:, None]
        exact = x @ weight.T
        self.signal += float(exact.square().sum())
        for name, quantize in precisions(x.shape[1]).items():
            self.errors[name] += float((quantize(x).float() @ rounded.T - exact).square().sum())

    def decibels(self) -> dict[str, float]:
        """Return signal to noise, by the way that activations are quantized."""
        return {
            name: 10 * math.log10(self.signal / error) if error else math.inf
            for name, error in self.errors.items()
        }


class Recorder:
    """A float32 layer that keeps some rows of its inputs."""

    def __init__(self, layer: PlainLinear, *, evens_inputs: bool = False) -> None:
        """evens_inputs: see `Int8TileLinear`."""
        self._layer, self._evens_inputs = layer, evens_inputs
        self._rows: list[Tensor] = []
        self._n_rows = 0

    def __call__(self, x: Tensor) -> Tensor:
        self._keep(x)
        return self._layer(x)

    def gelu(self, x: Tensor) -> Tensor:
        self._keep(x)
        return self._layer.gelu(x)

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        self._keep(x)
        return self._layer.add(x, residual)

    def noises(self, n_parts: int) -> list[Noise]:
        """Return the noise of the int8 products of the kept rows, for equal parts of the layer's outputs."""
        noises = [Noise() for _ in range(n_parts)]
        rows, weight = torch.cat(self._rows), self._layer._weight
        if self._evens_inputs:
            factors = evening_factors(weight)
            rows, weight = rows / factors, weight * factors
        for noise, part in zip(noises, weight.chunk(n_parts), strict=True):
            noise.add(rows, part)
        return noises

    def _keep(self, x: Tensor) -> None:
        if self._n_rows < MAX_ROWS:
            rows = x[:: max(1, len(x) // ROWS_PER_CALL)].clone()
            self._rows.append(rows)
            self._n_rows += len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", default="embedded:whisper-base", help="as for hf-asr serve")
    arguments = parser.parse_args()
    clips = [clip.path for clip in short_clips(arguments.speech, limit=N_CLIPS)]
    noises = measure(arguments.model, clips)
    table = Table("stack", "layer", *precisions(1), title=f"{arguments.model}: dB, and of the worst layer")
    for (stack, kind), by_layer in noises.items():
        rows = [noise.decibels() for noise in by_layer]
        cells = [
            f"{sum(row[name] for row in rows) / len(rows):.1f} ({min(row[name] for row in rows):.1f})"
            for name in precisions(1)
        ]
        table.add_row(stack, kind, *cells)
    Console(width=110).print(table)


def precisions(n_in: int) -> Mapping[str, Callable[[Tensor], Tensor]]:
    """Return the ways that activations are quantized: from rows to the numbers that these stand for, float64."""
    return {
        "weight alone": Tensor.double,
        "1 byte": _quantize_range,
        "2 bytes": partial(_quantize_magnitude, largest=MAX_BYTE_PAIR),
        "pairs (avx2)": partial(_quantize_magnitude, largest=max_pair_element(n_in)),
    }


def _quantize_range(x: Tensor) -> Tensor:
    """From each row's least number to its largest. 0 stays 0."""
    least, largest = (x.double().amin(1).clamp(max=-1e-8), x.double().amax(1).clamp(min=1e-8))
    scales = (largest - least)[:, None] / (2 * MAX_INT8)
    return (x.double() / scales).round_() * scales


def _quantize_magnitude(x: Tensor, *, largest: int) -> Tensor:
    """largest: the integer for each row's largest magnitude."""
    scales = x.double().abs().amax(dim=1, keepdim=True).clamp_(min=1e-8) / largest
    return (x.double() / scales).round_() * scales


@torch.inference_mode()
def measure(reference: str, clips: Sequence[Path]) -> dict[tuple[str, str], list[Noise]]:
    """Return each layer's noise on recordings, by stack and kind."""
    directory = resolve_model(reference, revision=None, cache_dir=cache_folder(), report=lambda _: None)
    model, tokenizer, info = load_speech_model(directory, device="cpu", dtype="float32", slots=1)
    recorders = record(model)
    vocabulary = Vocabulary(tokenizer, is_multilingual=info.is_multilingual)
    prompt = vocabulary.prompt(language_token=vocabulary.language_token("en"), task="transcribe")
    for path in clips:
        with path.open("rb") as file:
            waveform = np.concatenate(list(decode_audio(file)))
        spectrogram = ChunkSpectrogram(waveform, n_mels=info.n_mels, encoder_padding_s=ENCODER_PADDING_S)
        rules = AttemptRules(max_new_tokens=MAX_TOKENS, min_new_tokens=0)
        decode(model, [spectrogram.window(0.0, is_whole=False)], prompt, rules)
    noises: dict[tuple[str, str], list[Noise]] = defaultdict(list)
    for stack, kinds, recorder in recorders:
        for kind, noise in zip(kinds, recorder.noises(len(kinds)), strict=True):
            noises[stack, kind].append(noise)
    return noises


def record(model: WhisperSpeechModel) -> list[tuple[str, Sequence[str], Recorder]]:
    """Make a float32 model's layers keep their inputs. Return stack, kinds of parts, and recorder of each."""
    recorders: list[tuple[str, Sequence[str], Recorder]] = []

    def recorder(stack: str, kinds: Sequence[str], layer: Any) -> Any:
        is_normed = isinstance(layer, NormedLinear)
        recorder = Recorder(layer.linear if is_normed else layer, evens_inputs=kinds == OUTPUT)
        recorders.append((stack, kinds, recorder))
        return NormedLinear(layer.norm, recorder) if is_normed else recorder

    for stack, layers in (("encoder", model._encoder._layers), ("decoder", model._decoder.layers)):
        for layer in layers:
            for name in _linear_names(layer):
                setattr(layer, name, recorder(stack, PARTS[name], getattr(layer, name)))
    projections = model._cross_projection._layers
    projections[:] = [recorder("windows", ("cross k", "cross v"), layer) for layer in projections]
    model._output = recorder("decoder", OUTPUT, model._output)
    return recorders


def _linear_names(layer: object) -> Iterator[str]:
    return (name for name in PARTS if hasattr(layer, name))


if __name__ == "__main__":
    main()
