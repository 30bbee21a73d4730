"""A checkpoint's tensors, each read, converted and put on its device when a layer asks for it by its name.

What `from_pretrained` of transformers loads loads here too (its `core_model_loading` and `tie_weights`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.checkpoint.config import ModelConfig
from hf_asr_endpoint.whisper.checkpoint.tensor_files import StoredTensor, in_memory

EMBEDDINGS = "model.decoder.embed_tokens.weight"
OUTPUT = "proj_out.weight"
ENCODER_POSITIONS = "model.encoder.embed_positions.weight"

KERNEL_SIZE = 3  # of both convolutions

Shape = tuple[int, ...]


def expected_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Return the shape of every tensor, by name."""
    width = config.d_model
    shapes = {
        "model.encoder.conv1.weight": (width, config.num_mel_bins, KERNEL_SIZE),
        "model.encoder.conv1.bias": (width,),
        "model.encoder.conv2.weight": (width, width, KERNEL_SIZE),
        "model.encoder.conv2.bias": (width,),
        ENCODER_POSITIONS: (config.max_source_positions, width),
        EMBEDDINGS: (config.vocab_size, width),
        "model.decoder.embed_positions.weight": (config.max_target_positions, width),
        OUTPUT: (config.vocab_size, width),
    }
    for name in ("encoder", "decoder"):
        shapes |= _norm(f"model.{name}.layer_norm", width)
        attentions = ("self_attn",) if name == "encoder" else ("self_attn", "encoder_attn")
        for index in range(getattr(config, f"{name}_layers")):
            layer = f"model.{name}.layers.{index}"
            shapes |= _layer(layer, width, n_hidden=getattr(config, f"{name}_ffn_dim"), attentions=attentions)
    return shapes


def _layer(name: str, width: int, *, n_hidden: int, attentions: tuple[str, ...]) -> dict[str, Shape]:
    shapes = {
        **_linear(f"{name}.fc1", width, n_hidden),
        **_linear(f"{name}.fc2", n_hidden, width),
        **_norm(f"{name}.final_layer_norm", width),
    }
    for attention in attentions:
        shapes |= _norm(f"{name}.{attention}_layer_norm", width)
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{name}.{attention}.{projection}", width, width)
        del shapes[f"{name}.{attention}.k_proj.bias"]
    return shapes


def _linear(name: str, n_in: int, n_out: int) -> dict[str, Shape]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


LONGEST_PERIOD = 10_000  # of the encoder's sinusoids, in positions over 2 pi (openai/whisper)

_LAYER = re.compile(r"(?:model\.)?(encoder|decoder)\.layers\.(\d+)\.")


class Tensors:
    """Keeps no tensor: who asks twice has two."""

    def __init__(
        self,
        stored: Mapping[str, StoredTensor],
        *,
        device: torch.device,
        dtype: torch.dtype,
        prefix: str = "",
    ) -> None:
        """prefix: of all names that are asked for; ends in a dot, unless it is empty."""
        self.device, self.dtype = device, dtype
        self._stored, self._prefix = stored, prefix

    def under(self, prefix: str) -> Tensors:
        """Return the tensors whose names begin with `prefix` and a dot, without these."""
        return Tensors(self._stored, device=self.device, dtype=self.dtype, prefix=f"{self._prefix}{prefix}.")

    def __getitem__(self, name: str) -> Tensor:
        """Read a tensor, into memory of its own."""
        stored = self._stored[self._prefix + name]
        return stored.read().to(self.device, self.dtype, copy=stored.is_shared).contiguous()

    def find(self, name: str) -> Tensor | None:
        """Read a tensor that a model may do without."""
        return self[name] if self._prefix + name in self._stored else None

    def linear(self, name: str) -> tuple[Tensor, Tensor | None]:
        """Return weight, shape = (n_out, n_in), and bias, which Whisper's keys have not."""
        return self[f"{name}.weight"], self.find(f"{name}.bias")

    def norm(self, name: str) -> tuple[Tensor, Tensor]:
        """Return scale and bias, each of shape (n,)."""
        return self[f"{name}.weight"], self[f"{name}.bias"]

    def convolution(self, name: str) -> tuple[Tensor, Tensor]:
        """Return weight, shape = (n_out, n_in, n_kernel), and bias."""
        return self[f"{name}.weight"], self[f"{name}.bias"]


def select_tensors(stored: Mapping[str, StoredTensor], config: ModelConfig) -> dict[str, StoredTensor]:
    """Return those of a checkpoint's tensors that the model has, by the model's names, and check them.

    OUTPUT is left out when it is the same as EMBEDDINGS.
    Raises ValueError when there are tensors missing, or of another shape than the configuration says, or layers
    beyond it, without which the rest is nonsense.
    """
    expected = expected_shapes(config)
    found = dict(_named(stored, expected))
    if config.tie_word_embeddings and _ties(found):
        del expected[OUTPUT]
    if ENCODER_POSITIONS not in found:
        found |= in_memory({ENCODER_POSITIONS: sinusoids(*expected[ENCODER_POSITIONS])})
    if further := [name for name in stored if _is_further_layer(name, config)]:
        raise ValueError(
            f"{len(further)} tensors of layers that config.json does not have, the first is {further[0]}"
        )
    if missing := [name for name in expected if name not in found]:
        # transformers puts random numbers in their place, which transcribe to nonsense.
        raise ValueError(f"tensors missing: {len(missing)}, the first is {missing[0]}")
    for name, shape in expected.items():
        if found[name].shape != shape:
            raise ValueError(f"{name} has shape {found[name].shape}; config.json asks for {shape}")
        if not found[name].is_floating:
            raise ValueError(f"{name} is quantised; allowed: weights in float16, bfloat16, float32 or float64")
    return found


def sinusoids(n_positions: int, width: int) -> Tensor:
    """Return the encoder's positions, which some checkpoints leave out, float32, shape = (n_positions, width).

    As in openai/whisper's `model.py` and in transformers.
    """
    n_periods = width // 2
    step = math.log(LONGEST_PERIOD) / (n_periods - 1)
    angles = torch.arange(n_positions)[:, None] * torch.exp(-step * torch.arange(n_periods))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _named(
    stored: Mapping[str, StoredTensor], expected: Mapping[str, Shape]
) -> Iterator[tuple[str, StoredTensor]]:
    """Yield tensors by the names they are expected by; "model." is absent from what a WhisperModel has saved."""
    for name, tensor in stored.items():
        for candidate in (name.removeprefix("model."), f"model.{name}", name):
            if candidate in expected:
                yield candidate, tensor
                break


def _is_further_layer(name: str, config: ModelConfig) -> bool:
    match = _LAYER.match(name)
    return match is not None and int(match[2]) >= getattr(config, f"{match[1]}_layers")


def _ties(found: dict[str, StoredTensor]) -> bool:
    """Keep one of EMBEDDINGS and OUTPUT, as EMBEDDINGS, and return whether they are one.

    They are two when a fine-tune has changed only one of them, although its configuration ties them.
    """
    if EMBEDDINGS not in found and OUTPUT in found:
        found[EMBEDDINGS] = found.pop(OUTPUT)
    elif EMBEDDINGS in found and OUTPUT in found:
        if not torch.equal(found[EMBEDDINGS].read(), found[OUTPUT].read()):
            return False
        del found[OUTPUT]
    return True
