"""The whole greedy decode step over static slot caches. The host never waits in it, so it can be a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.gpu.proposals.choice import RowStates
from bench.gpu.proposals.operations import StepOperations
from bench.gpu.proposals.weights import DecoderWeights, LayerWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCaches:
    """Keys and values by layer, shape = (n_layers, 2, n_slots, n_heads, capacity, head_dim). Never moved.

    own: of the texts' tokens. windows: of the windows' positions.
    """

    own: Tensor
    windows: Tensor


def allocate_caches(
    weights: DecoderWeights, *, n_slots: int, max_tokens: int, max_positions: int, n_windows: int | None = None
) -> SlotCaches:
    """n_windows: slots for windows; None: as many as slots for texts."""
    n_layers, d_model = len(weights.layers), weights.embeddings.shape[1]
    own, windows = (
        weights.embeddings.new_zeros((n_layers, 2, n, weights.n_heads, capacity, d_model // weights.n_heads))
        for n, capacity in ((n_slots, max_tokens), (n_windows or n_slots, max_positions))
    )
    return SlotCaches(own=own, windows=windows)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIds:
    """initial_end: after the last timestamp that may be the first token."""

    timestamp_begin: int
    initial_end: int
    eot: int


class DecodeStep:
    """Feeds each row's token, chooses the next one, and updates the state in place."""

    def __init__(
        self,
        weights: DecoderWeights,
        caches: SlotCaches,
        state: RowStates,
        *,
        flags: Tensor,
        ids: TokenIds,
        operations: StepOperations,
    ) -> None:
        """flags: see `choice.token_flags`."""
        self._weights, self._caches, self._state = weights, caches, state
        self._flags, self._ids, self._operations = flags, ids, operations

    def __call__(self) -> None:
        logits = self.logits()
        ids = self._ids
        self._operations.choose(
            logits,
            self._flags,
            self._state,
            timestamp_begin=ids.timestamp_begin,
            initial_end=ids.initial_end,
            eot=ids.eot,
        )

    def logits(self) -> Tensor:
        """Feed the tokens; return what follows them, shape = (n_rows, n_vocab), in the weights' dtype."""
        weights = self._weights
        first = weights.layers[0].self_norm
        x, normed = self._operations.embed(self._state, weights.embeddings, weights.positions, first)
        if len(x) <= self._operations.max_fused_rows:
            for index, layer in enumerate(weights.layers):
                x = self._fused_layer(index, layer, x)
            normed = F.layer_norm(x, x.shape[1:], *weights.final_norm)
        else:
            following = [*(layer.self_norm for layer in weights.layers[1:]), weights.final_norm]
            for index, (layer, next_norm) in enumerate(zip(weights.layers, following, strict=True)):
                x, normed = self._layer(index, layer, x, normed, next_norm)
        return F.linear(normed, weights.embeddings)

    def _layer(
        self, index: int, layer: LayerWeights, x: Tensor, normed: Tensor, next_norm: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Run a layer with torch's products. Takes x and its first norm; returns the same for the next layer."""
        run = self._operations
        attended = self._attend_self(index, F.linear(normed, *layer.self_qkv))
        x, normed = run.add_norm(x, F.linear(attended, layer.self_out[0]), layer.self_out[1], layer.cross_norm)
        attended = self._attend_window(index, F.linear(normed, *layer.cross_query))
        x, normed = run.add_norm(x, F.linear(attended, layer.cross_out[0]), layer.cross_out[1], layer.hidden_norm)
        hidden = F.gelu(F.linear(normed, *layer.hidden))
        return run.add_norm(x, F.linear(hidden, layer.hidden_out[0]), layer.hidden_out[1], next_norm)

    def _fused_layer(self, index: int, layer: LayerWeights, x: Tensor) -> Tensor:
        """Run a layer of few rows: each product includes the norm before it, and GELU or the residual after it."""
        run = self._operations.linear_rows  # type: ignore[attr-defined]  # Only Triton's operations fuse rows.
        attended = self._attend_self(index, run(x, layer.self_qkv, norm=layer.self_norm))
        x = run(attended, layer.self_out, residual=x)
        attended = self._attend_window(index, run(x, layer.cross_query, norm=layer.cross_norm))
        x = run(attended, layer.cross_out, residual=x)
        hidden = run(x, layer.hidden, norm=layer.hidden_norm, has_gelu=True)
        return run(hidden, layer.hidden_out, residual=x)

    def _attend_self(self, index: int, qkv: Tensor) -> Tensor:
        keys, values = self._caches.own[index]
        heads = qkv.view(len(qkv), 3, keys.shape[1], -1)
        return self._operations.attend_self(heads, keys, values, self._state)

    def _attend_window(self, index: int, queries: Tensor) -> Tensor:
        keys, values = self._caches.windows[index]
        return self._operations.attend_window(queries, keys, values, self._state)


def capture(
    work: Callable[[], object], *, n_warm_up: int = 2, stream: torch.cuda.Stream | None = None
) -> torch.cuda.CUDAGraph:
    """Record work on the device as a graph. The warm-up compiles kernels and allocates workspaces.

    stream: the graph's kernels take its priority.
    """
    stream = torch.cuda.Stream() if stream is None else stream
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(n_warm_up):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        work()
    torch.cuda.synchronize()
    return graph


def step_bytes(weights: DecoderWeights, state_lengths: list[int]) -> float:
    """Return the bytes that a step must read: weights once, and the keys and values of each row's window."""
    width = weights.embeddings.element_size()
    d_model = weights.embeddings.shape[1]
    read = [
        linear[0]
        for layer in weights.layers
        for linear in (layer.self_qkv, layer.self_out, layer.cross_query, layer.cross_out, layer.hidden)
    ]
    read += [layer.hidden_out[0] for layer in weights.layers]
    n_weights = sum(weight.numel() for weight in read) + weights.embeddings.numel()
    return width * (n_weights + 2.0 * d_model * len(weights.layers) * sum(state_lengths))
