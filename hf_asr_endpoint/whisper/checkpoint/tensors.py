"""Selects a model's tensors from its files, checks them, and reads each when a layer is built of it.

Accepts every checkpoint that transformers' `from_pretrained` accepts (`core_model_loading`, `tie_weights`), except
those with missing tensors. Knows the names and shapes of Whisper's tensors; computes nothing with them.
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

KERNEL_SIZE = 3  # mel frames, in both convolutions
LONGEST_PERIOD = 10_000  # of the encoder's sinusoids, in units of 2 pi positions (openai/whisper)

Shape = tuple[int, ...]

_LAYER = re.compile(r"(?:model\.)?(encoder|decoder)\.layers\.(\d+)\.")


class Tensors:
    """Tensors by name. Each access reads the file again and returns a new tensor; none is kept."""

    def __init__(
        self,
        stored: Mapping[str, StoredTensor],
        *,
        device: torch.device,
        dtype: torch.dtype,
        keeps_matrices: bool = False,
        prefix: str = "",
    ) -> None:
        """keeps_matrices: weights of linear layers and embeddings of tokens stay in the dtype that they are stored
        in. prefix: put before every requested name; ends with a dot unless it is empty.
        """
        self.device, self.dtype = device, dtype
        self._stored, self._prefix = stored, prefix
        self._keeps_matrices = keeps_matrices

    def under(self, prefix: str) -> Tensors:
        """Return the tensors whose names begin with `prefix` and a dot, by the rest of their names."""
        return self._with(prefix=f"{self._prefix}{prefix}.", keeps_matrices=self._keeps_matrices)

    def keeping_matrices(self) -> Tensors:
        """Return the same tensors, but with matrices as they are stored, for layers that quantize them."""
        return self._with(prefix=self._prefix, keeps_matrices=True)

    def _with(self, *, prefix: str, keeps_matrices: bool) -> Tensors:
        return Tensors(
            self._stored, device=self.device, dtype=self.dtype, keeps_matrices=keeps_matrices, prefix=prefix
        )

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._stored

    def __getitem__(self, name: str) -> Tensor:
        """Read a tensor into memory that nothing else uses, in the dtype and on the device."""
        stored = self._stored[self._prefix + name]
        return stored.read().to(self.device, self.dtype, copy=stored.is_shared).contiguous()

    def matrix(self, name: str) -> Tensor:
        """Read a linear layer's weight or the embeddings of tokens. If matrices keep their dtype, float64 becomes
        float32.
        """
        if not self._keeps_matrices:
            return self[name]
        stored = self._stored[self._prefix + name]
        matrix = stored.read()
        dtype = torch.float32 if matrix.dtype == torch.float64 else matrix.dtype
        return matrix.to(self.device, dtype, copy=stored.is_shared).contiguous()

    def find(self, name: str) -> Tensor | None:
        """Read a tensor that not every model has; return None if this one does not."""
        return self[name] if self._prefix + name in self._stored else None

    def linear(self, name: str) -> tuple[Tensor, Tensor | None]:
        """Return weight, shape = (n_out, n_in), see `matrix`, and bias, shape = (n_out,) or None for keys."""
        return self.matrix(f"{name}.weight"), self.find(f"{name}.bias")

    def norm(self, name: str) -> tuple[Tensor, Tensor]:
        """Return scale and bias, each of shape (n,)."""
        return self[f"{name}.weight"], self[f"{name}.bias"]

    def convolution(self, name: str) -> tuple[Tensor, Tensor]:
        """Return weight, shape = (n_out, n_in, n_kernel), and bias, shape = (n_out,)."""
        return self[f"{name}.weight"], self[f"{name}.bias"]


def select_tensors(stored: Mapping[str, StoredTensor], config: ModelConfig) -> dict[str, StoredTensor]:
    """Return the tensors of the model that `config` describes, by transformers' names; ignore any others.

    OUTPUT is left out when it equals EMBEDDINGS.
    Raises ValueError when a tensor is missing, is quantized or has another shape than `config` says, and when
    there are more layers than `config` says: the first layers alone produce nonsense.
    """
    expected = expected_shapes(config)
    found = dict(_by_expected_name(stored, expected))
    if config.tie_word_embeddings and _merge_tied_embeddings(found):
        del expected[OUTPUT]
    if ENCODER_POSITIONS not in found:
        found |= in_memory({ENCODER_POSITIONS: sinusoids(*expected[ENCODER_POSITIONS])})
    if surplus := [name for name in stored if _is_surplus_layer(name, config)]:
        raise ValueError(
            f"the weights have more layers than config.json: {len(surplus)} tensors, the first is {surplus[0]}"
        )
    if missing := [name for name in expected if name not in found]:
        # transformers replaces them by random numbers, which produce nonsense.
        raise ValueError(f"{len(missing)} of {len(expected)} tensors are missing; the first is {missing[0]}")
    for name, shape in expected.items():
        if found[name].shape != shape:
            raise ValueError(f"{name} has shape {found[name].shape}; config.json requires {shape}")
        if not found[name].is_floating:
            raise ValueError(f"{name} is quantized; allowed: weights in float16, bfloat16, float32 or float64")
    return found


def expected_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Return the shape of every tensor of the model, by transformers' names."""
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
    for stack in ("encoder", "decoder"):
        shapes |= _norm_shapes(f"model.{stack}.layer_norm", width)
        attentions = ("self_attn",) if stack == "encoder" else ("self_attn", "encoder_attn")
        n_hidden = getattr(config, f"{stack}_ffn_dim")
        for index in range(getattr(config, f"{stack}_layers")):
            layer = f"model.{stack}.layers.{index}"
            shapes |= _layer_shapes(layer, width, n_hidden=n_hidden, attentions=attentions)
    return shapes


def sinusoids(n_positions: int, width: int) -> Tensor:
    """Return the encoder's position embeddings, float32, shape = (n_positions, width).

    Some checkpoints leave them out, because they are not learned. Source: openai/whisper, `model.py`.
    """
    n_periods = width // 2
    step = math.log(LONGEST_PERIOD) / (n_periods - 1)
    angles = torch.arange(n_positions)[:, None] * torch.exp(-step * torch.arange(n_periods))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _layer_shapes(name: str, width: int, *, n_hidden: int, attentions: tuple[str, ...]) -> dict[str, Shape]:
    shapes = {
        **_linear_shapes(f"{name}.fc1", width, n_hidden),
        **_linear_shapes(f"{name}.fc2", n_hidden, width),
        **_norm_shapes(f"{name}.final_layer_norm", width),
    }
    for attention in attentions:
        shapes |= _norm_shapes(f"{name}.{attention}_layer_norm", width)
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear_shapes(f"{name}.{attention}.{projection}", width, width)
        del shapes[f"{name}.{attention}.k_proj.bias"]
    return shapes


def _linear_shapes(name: str, n_in: int, n_out: int) -> dict[str, Shape]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _norm_shapes(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _by_expected_name(
    stored: Mapping[str, StoredTensor], expected: Mapping[str, Shape]
) -> Iterator[tuple[str, StoredTensor]]:
    """Yield the expected tensors. Checkpoints saved from a WhisperModel have names without "model."."""
    for name, tensor in stored.items():
        for candidate in (name.removeprefix("model."), f"model.{name}", name):
            if candidate in expected:
                yield candidate, tensor
                break


def _is_surplus_layer(name: str, config: ModelConfig) -> bool:
    match = _LAYER.match(name)
    return match is not None and int(match[2]) >= getattr(config, f"{match[1]}_layers")


def _merge_tied_embeddings(found: dict[str, StoredTensor]) -> bool:
    """Keep only EMBEDDINGS if OUTPUT is equal or one of them is missing; return whether that was so.

    They differ in fine-tunes that changed only one of them although their configuration says that they are tied.
    """
    if EMBEDDINGS not in found and OUTPUT in found:
        found[EMBEDDINGS] = found.pop(OUTPUT)
    elif EMBEDDINGS in found and OUTPUT in found:
        if not torch.equal(found[EMBEDDINGS].read(), found[OUTPUT].read()):
            return False
        del found[OUTPUT]
    return True
