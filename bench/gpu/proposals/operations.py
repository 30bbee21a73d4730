"""The operations of a decode step that Triton's kernels do faster than torch's operators, in both forms."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.gpu.proposals import HAS_TRITON, choice
from bench.gpu.proposals.choice import RowStates
from bench.gpu.proposals.weights import Norm

MAX_HALF = 65_504.0  # float16's largest number


class StepOperations(Protocol):
    """heads: queries (scaled), keys, values, shape = (n_rows, 3, n_heads, head_dim). keys, values: one layer's
    cache, shape = (n_slots, n_heads, capacity, head_dim).
    """

    max_fused_rows: int
    """Up to this number of rows, `linear_rows` is used."""

    def embed(self, state: RowStates, embeddings: Tensor, positions: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """Return the rows' embeddings, and their layer norm."""
        ...

    def attend_self(self, heads: Tensor, keys: Tensor, values: Tensor, state: RowStates) -> Tensor:
        """Cache keys and values; return what rows attend to, shape = (n_rows, n_heads × head_dim)."""
        ...

    def attend_window(self, queries: Tensor, keys: Tensor, values: Tensor, state: RowStates) -> Tensor:
        """queries, and the result: shape = (n_rows, n_heads × head_dim)."""
        ...

    def add_norm(self, x: Tensor, y: Tensor, bias: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """Return x + y + bias, clamped to float16's range, and its layer norm."""
        ...

    def choose(self, logits: Tensor, flags: Tensor, state: RowStates, **ids: int) -> None:
        """See `choice.choose`."""
        ...


class TorchOperations:
    """torch's operators, on any device. Row i must use slot i of both caches: an index would copy them."""

    max_fused_rows = 0

    def embed(self, state: RowStates, embeddings: Tensor, positions: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        x = F.embedding(state.tokens, embeddings) + F.embedding(state.positions, positions)
        return x, F.layer_norm(x, x.shape[1:], *norm)

    def attend_self(self, heads: Tensor, keys: Tensor, values: Tensor, state: RowStates) -> Tensor:
        n_rows = len(heads)
        rows, positions = torch.arange(n_rows, device=heads.device), state.positions.long()
        keys[rows, :, positions], values[rows, :, positions] = heads[:, 1], heads[:, 2]
        is_hidden = torch.arange(keys.shape[2], device=heads.device) > positions[:, None]
        return attend(heads[:, 0], keys[:n_rows], values[:n_rows], is_hidden)

    def attend_window(self, queries: Tensor, keys: Tensor, values: Tensor, state: RowStates) -> Tensor:
        n_rows = len(queries)
        is_hidden = torch.arange(keys.shape[2], device=queries.device) >= state.lengths[:, None]
        heads = queries.view(n_rows, keys.shape[1], -1)
        return attend(heads, keys[:n_rows], values[:n_rows], is_hidden)

    def add_norm(self, x: Tensor, y: Tensor, bias: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        total = (x + (y + bias)).clamp_(-MAX_HALF, MAX_HALF)
        return total, F.layer_norm(total, total.shape[-1:], *norm)

    def choose(self, logits: Tensor, flags: Tensor, state: RowStates, **ids: int) -> None:
        choice.choose(logits, flags, state, **ids)


def attend(queries: Tensor, keys: Tensor, values: Tensor, is_hidden: Tensor) -> Tensor:
    """Attend from one query of each row, shape = (n_rows, n_heads, head_dim), by batched products.

    is_hidden: shape = (n_rows, capacity). Returns shape = (n_rows, n_heads × head_dim).
    """
    scores = (queries[:, :, None] @ keys.transpose(2, 3)).masked_fill_(is_hidden[:, None, None], -torch.inf)
    return (scores.softmax(dim=-1) @ values)[:, :, 0].flatten(1)


class TritonOperations:
    """Triton's kernels. Rows may use any slots."""

    max_fused_rows = 16

    def __init__(self) -> None:
        from bench.gpu.proposals import attention_kernels, choice_kernels, row_kernels

        self._attention, self._rows, self._choice = attention_kernels, row_kernels, choice_kernels

    def embed(self, state: RowStates, embeddings: Tensor, positions: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        return self._rows.embed(state.tokens, state.positions, embeddings, positions, norm)

    def attend_self(self, heads: Tensor, keys: Tensor, values: Tensor, state: RowStates) -> Tensor:
        return self._attention.attend_self(heads, keys, values, state.slots, state.positions).flatten(1)

    def attend_window(self, queries: Tensor, keys: Tensor, values: Tensor, state: RowStates) -> Tensor:
        heads = queries.view(len(queries), 1, keys.shape[1], -1)
        return self._attention.attend(heads, keys, values, state.windows, state.lengths).flatten(1)

    def add_norm(self, x: Tensor, y: Tensor, bias: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        return self._rows.add_norm(x, y, bias, norm)

    def linear_rows(self, x: Tensor, linear: tuple[Tensor, Tensor], **options: object) -> Tensor:
        """See `row_kernels.linear_rows`."""
        return self._rows.linear_rows(x, *linear, **options)

    def choose(self, logits: Tensor, flags: Tensor, state: RowStates, **ids: int) -> None:
        self._choice.choose(logits, flags, state, **ids)


def step_operations(name: str) -> StepOperations:
    """name: "torch" or "triton"."""
    if name == "torch":
        return TorchOperations()
    if not HAS_TRITON:
        raise ModuleNotFoundError("Triton is not installed")
    return TritonOperations()
