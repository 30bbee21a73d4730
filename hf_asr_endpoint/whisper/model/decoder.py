"""Whisper's text decoder over fused layers and slot-indexed caches: tokens to features of what comes next.

One code path for prefill (several tokens of a few sequences) and decode step (one token of all sequences).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.checkpoint.tensors import Tensors
from hf_asr_endpoint.whisper.kv_cache.cross_kv import AttendCross, CrossKVCache
from hf_asr_endpoint.whisper.kv_cache.self_kv import AttendSelf, SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.model.layers import LayerNorm, LinearFactory, PadRows, stack


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderBatch:
    """Tokens to feed, in the order of their slots.

    tokens, positions: int64, shape = (n_sequences, n_tokens). own: how the rows attend to their texts.
    cross: how they attend to their windows.
    """

    tokens: Tensor
    positions: Tensor
    own: AttendSelf
    cross: AttendCross


class BatchBuilder:
    """Makes batches over a model's caches."""

    def __init__(self, texts: SelfKVCache, windows: CrossKVCache, *, device: torch.device) -> None:
        self._texts, self._windows = texts, windows
        self._device = device

    def build(
        self, *, slots: Sequence[int], tokens: Sequence[Sequence[int]], begins: Sequence[int]
    ) -> DecoderBatch:
        """Return the batch that feeds equally many tokens to each slot.

        slots: ascending. begins: how many tokens each slot has been fed.
        """
        n_tokens = len(tokens[0])
        first = torch.tensor(begins, device=self._device)[:, None]
        return DecoderBatch(
            tokens=torch.tensor(tokens, device=self._device),
            positions=first + torch.arange(n_tokens, device=self._device),
            own=self._texts.attention_for(slots, begins=begins, n_tokens=n_tokens),
            cross=self._windows.attention_for(slots, n_tokens=n_tokens),
        )


OnQueries = Callable[[int, Tensor], None]
"""Told a layer's queries of the encoded window, scaled, shape = (n_sequences, n_tokens, n_heads, head_dim)."""


class Decoder:
    """Reads and writes the caches through its batches; keeps nothing from call to call."""

    def __init__(
        self,
        tensors: Tensors,
        make_linear: LinearFactory,
        *,
        pad_rows: PadRows,
        shape: CacheShape,
        embeddings: Tensor,
    ) -> None:
        """embeddings: of the tokens, shape = (n_vocab, d_model)."""
        self._tokens = embeddings
        self._pad_rows = pad_rows
        self._positions = tensors["embed_positions.weight"]  # (max_tokens, d_model)
        self._layers = [
            _DecoderLayer(tensors.under(f"layers.{index}"), make_linear, shape=shape)
            for index in range(shape.n_layers)
        ]
        self._norm = LayerNorm(*tensors.norm("layer_norm"))

    def __call__(self, batch: DecoderBatch, on_queries: OnQueries = lambda layer, queries: None) -> Tensor:
        """Return features, shape = (n_sequences, n_tokens, d_model), and cache the tokens' keys and values."""
        x = F.embedding(batch.tokens, self._tokens) + F.embedding(batch.positions, self._positions)
        shape = x.shape
        x = self._pad_rows(x.flatten(0, 1))
        for index, layer in enumerate(self._layers):
            x = layer.add_text(x, batch.own(index, layer.text_heads(x, batch)))
            queries = layer.window_queries(x, batch)
            on_queries(index, queries)
            x = layer.finish(x, batch.cross(index, queries))
        return self._norm(x)[: batch.tokens.numel()].view(shape)


class CrossProjection:
    """All decoder layers' cross-attention keys and values of an encoded window."""

    def __init__(self, tensors: Tensors, make_linear: LinearFactory, *, n_layers: int) -> None:
        attentions = [tensors.under(f"layers.{index}.encoder_attn") for index in range(n_layers)]
        self._layers = [
            make_linear(*stack([attention.linear(name) for name in ("k_proj", "v_proj")]))
            for attention in attentions
        ]

    def __call__(self, features: Tensor) -> Iterator[Tensor]:
        """Yield each layer's, shape = (n_positions, 2 × d_model). features: shape = (n_positions, d_model)."""
        for layer in self._layers:
            yield layer(features)


class _DecoderLayer:
    def __init__(self, tensors: Tensors, make_linear: LinearFactory, *, shape: CacheShape) -> None:
        own, cross = tensors.under("self_attn"), tensors.under("encoder_attn")
        scaling = shape.head_dim**-0.5
        self._n_heads = shape.n_heads
        projections = [own.linear(name) for name in ("q_proj", "k_proj", "v_proj")]
        self._qkv = make_linear(*stack(projections, scale_first=scaling))
        self._out = make_linear(*own.linear("out_proj"))
        self._cross_q = make_linear(*stack([cross.linear("q_proj")], scale_first=scaling))
        self._cross_out = make_linear(*cross.linear("out_proj"))
        self._fc1 = make_linear(*tensors.linear("fc1"))
        self._fc2 = make_linear(*tensors.linear("fc2"))
        self._self_norm = LayerNorm(*tensors.norm("self_attn_layer_norm"))
        self._cross_norm = LayerNorm(*tensors.norm("encoder_attn_layer_norm"))
        self._feed_forward_norm = LayerNorm(*tensors.norm("final_layer_norm"))

    def text_heads(self, x: Tensor, batch: DecoderBatch) -> Tensor:
        """Return the tokens' queries, keys and values, shape = (n_sequences, n_tokens, 3, n_heads, head_dim)."""
        heads = self._qkv(self._self_norm(x))[: batch.tokens.numel()]
        return heads.view(*batch.tokens.shape, 3, self._n_heads, -1)

    def add_text(self, x: Tensor, attended: Tensor) -> Tensor:
        """Go on from what the rows attend to in their texts."""
        return self._out.add(_beside(attended, x), x)

    def window_queries(self, x: Tensor, batch: DecoderBatch) -> Tensor:
        asked = self._cross_q(self._cross_norm(x))[: batch.tokens.numel()]
        return asked.view(*batch.tokens.shape, self._n_heads, -1)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Go on from what the rows attend to in their windows."""
        x = self._cross_out.add(_beside(attended, x), x)
        return self._fc2.add(self._fc1.gelu(self._feed_forward_norm(x)), x)


def _beside(attended: Tensor, x: Tensor) -> Tensor:
    """Return what sequences attend to as rows of x, of which the spare ones attend to nothing."""
    rows = attended.reshape(-1, x.shape[1])
    return F.pad(rows, (0, 0, 0, len(x) - len(rows)))
