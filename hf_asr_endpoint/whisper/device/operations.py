"""The operations of a decode step that Triton's kernels do faster than torch's operators, in both forms."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.device import choice
from hf_asr_endpoint.whisper.device.choice import DeviceRules
from hf_asr_endpoint.whisper.device.row_states import RowStates
from hf_asr_endpoint.whisper.device.weights import DecoderWeights, Linear, Norm

logger = logging.getLogger(__name__)

HAS_TRITON = importlib.util.find_spec("triton") is not None
MAX_HALF = 65_504.0  # float16's largest number
KERNEL_HEAD_DIM = 64  # channels of the heads that Triton's attention knows
KERNEL_COLUMNS = 128  # the rows of its products are a multiple of this


class StepOperations(Protocol):
    """heads: queries (scaled), keys, values, shape = (n_rows, 3, n_heads, head_dim). keys, values: one layer's
    cache, shape = (n_slots, n_heads, capacity, head_dim).
    """

    max_fused_rows: int
    """Up to this number of rows, `linear_rows` is used."""
    shares_windows: bool
    """Whether a row may read another slot's window. Otherwise each slot needs a copy of its own."""

    def embed(self, states: RowStates, weights: DecoderWeights, norm: Norm) -> tuple[Tensor, Tensor]:
        """Return the rows' embeddings, and their layer norm."""
        ...

    def attend_self(self, heads: Tensor, keys: Tensor, values: Tensor, states: RowStates) -> Tensor:
        """Cache keys and values; return what rows attend to, shape = (n_rows, n_heads × head_dim)."""
        ...

    def attend_window(self, queries: Tensor, keys: Tensor, values: Tensor, states: RowStates) -> Tensor:
        """queries, and the result: shape = (n_rows, n_heads × head_dim)."""
        ...

    def add_norm(self, x: Tensor, y: Tensor, bias: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """Return x + y + bias, clamped to float16's range, and its layer norm."""
        ...

    def linear_rows(self, x: Tensor, linear: Linear, **options: Any) -> Tensor:
        """See `triton_kernels.rows.linear_rows`."""
        ...

    def choose(self, logits: Tensor, rules: DeviceRules, states: RowStates) -> None:
        """See `choice.choose`."""
        ...


class TorchOperations:
    """torch's operators, on any device. Row i uses slot i of both caches: an index would copy them.

    Attention reads whole rows of the caches, so what is masked must be finite.
    """

    max_fused_rows = 0
    shares_windows = False

    def embed(self, states: RowStates, weights: DecoderWeights, norm: Norm) -> tuple[Tensor, Tensor]:
        x = F.embedding(states.token, weights.embeddings) + F.embedding(states.position, weights.positions)
        return x, F.layer_norm(x, x.shape[1:], *norm)

    def attend_self(self, heads: Tensor, keys: Tensor, values: Tensor, states: RowStates) -> Tensor:
        n_rows = len(heads)
        rows, positions = torch.arange(n_rows, device=heads.device), states.position.long()
        keys[rows, :, positions], values[rows, :, positions] = heads[:, 1], heads[:, 2]
        is_hidden = torch.arange(keys.shape[2], device=heads.device) > positions[:, None]
        return attend(heads[:, 0], keys[:n_rows], values[:n_rows], is_hidden)

    def attend_window(self, queries: Tensor, keys: Tensor, values: Tensor, states: RowStates) -> Tensor:
        n_rows = len(queries)
        # A row without a window attends to one position: with none its result would be NaN, and stay in its cache.
        is_hidden = torch.arange(keys.shape[2], device=queries.device) >= states.length.clamp(min=1)[:, None]
        heads = queries.view(n_rows, keys.shape[1], -1)
        return attend(heads, keys[:n_rows], values[:n_rows], is_hidden)

    def add_norm(self, x: Tensor, y: Tensor, bias: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        total = (x + (y + bias)).clamp_(-MAX_HALF, MAX_HALF)
        return total, F.layer_norm(total, total.shape[-1:], *norm)

    def linear_rows(self, x: Tensor, linear: Linear, **options: Any) -> Tensor:
        # `max_fused_rows` is 0 here, so that no step asks for it.
        raise NotImplementedError("torch's products are not fused")

    def choose(self, logits: Tensor, rules: DeviceRules, states: RowStates) -> None:
        choice.choose(logits, rules, states)


def attend(queries: Tensor, keys: Tensor, values: Tensor, is_hidden: Tensor) -> Tensor:
    """Attend from one query of each row, shape = (n_rows, n_heads, head_dim), by batched products.

    is_hidden: shape = (n_rows, capacity). Returns shape = (n_rows, n_heads × head_dim).
    """
    scores = (queries[:, :, None] @ keys.transpose(2, 3)).masked_fill_(is_hidden[:, None, None], -torch.inf)
    return (scores.softmax(dim=-1) @ values)[:, :, 0].flatten(1)


class TritonOperations:
    """Triton's kernels. They read no more than a row's positions, in any slot."""

    max_fused_rows = 16
    shares_windows = True

    def __init__(self) -> None:
        from hf_asr_endpoint.whisper.device.triton_kernels import attention, rows
        from hf_asr_endpoint.whisper.device.triton_kernels import choice as choice_kernels

        self._attention, self._rows, self._choice = attention, rows, choice_kernels

    def embed(self, states: RowStates, weights: DecoderWeights, norm: Norm) -> tuple[Tensor, Tensor]:
        return self._rows.embed(states.token, states.position, weights.embeddings, weights.positions, norm)

    def attend_self(self, heads: Tensor, keys: Tensor, values: Tensor, states: RowStates) -> Tensor:
        return self._attention.attend_self(heads, keys, values, states.slot, states.position).flatten(1)

    def attend_window(self, queries: Tensor, keys: Tensor, values: Tensor, states: RowStates) -> Tensor:
        heads = queries.view(len(queries), 1, keys.shape[1], -1)
        return self._attention.attend(heads, keys, values, states.window, states.length).flatten(1)

    def add_norm(self, x: Tensor, y: Tensor, bias: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        return self._rows.add_norm(x, y, bias, norm)

    def linear_rows(self, x: Tensor, linear: Linear, **options: Any) -> Tensor:
        return self._rows.linear_rows(x, *linear, **options)

    def choose(self, logits: Tensor, rules: DeviceRules, states: RowStates) -> None:
        self._choice.choose(logits, rules, states)


def choose_operations(weights: DecoderWeights) -> StepOperations:
    """Return Triton's kernels where they run: on a GPU, for the sizes of Whisper's heads and rows."""
    device, d_model = weights.embeddings.device, weights.embeddings.shape[1]
    fits = d_model // weights.n_heads == KERNEL_HEAD_DIM and d_model % KERNEL_COLUMNS == 0
    if device.type != "cuda" or not HAS_TRITON or not fits:
        return TorchOperations()
    operations = TritonOperations()
    try:  # Triton compiles a launcher in C when it first runs: without a compiler, it is of no use.
        check_operations(operations, weights)
    except Exception as exc:  # Triton and its compilers raise anything.
        logger.warning("Triton's kernels do not run, torch's operators do: %s: %s", type(exc).__name__, exc)
        return TorchOperations()
    return operations


def check_operations(operations: StepOperations, weights: DecoderWeights) -> None:
    """Compare a norm with that of torch's operators. Raises what keeps kernels from running, or AssertionError."""
    generator = torch.Generator(weights.embeddings.device).manual_seed(0)
    x, y = torch.randn(
        (2, 3, weights.embeddings.shape[1]), generator=generator, device=weights.embeddings.device
    ).to(weights.embeddings.dtype)
    bias, norm = weights.layers[0].self_out[1], weights.final_norm
    found, expected = (each.add_norm(x, y, bias, norm)[1] for each in (operations, TorchOperations()))
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
