"""Whisper's text decoder over fused layers and caches by slot: turns tokens into features of the next ones.

The same code runs a prefill (several tokens of a few sequences) and a decode step (one token of every sequence).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.checkpoint.tensors import Tensors
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossAttentionStep, CrossKVReader
from hf_asr_endpoint.whisper.kv_cache.self_kv import SelfAttentionStep, SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.model.layer_norm import LayerNorm
from hf_asr_endpoint.whisper.model.layers import LinearFactory, RowPadding, fuse_projections


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderBatch:
    """Tokens to feed, one sequence for each slot, in the order of the slots.

    tokens, positions: int64, shape = (n_sequences, n_tokens). self_attention, cross_attention: over the caches of
    these slots.
    """

    tokens: Tensor
    positions: Tensor
    self_attention: SelfAttentionStep
    cross_attention: CrossAttentionStep


class BatchBuilder:
    """Builds batches over a model's caches."""

    def __init__(self, self_kv: SelfKVCache, cross_kv: CrossKVReader, *, device: torch.device) -> None:
        self._self_kv, self._cross_kv = self_kv, cross_kv
        self._device = device

    def build(
        self, *, slots: Sequence[int], tokens: Sequence[Sequence[int]], n_cached: Sequence[int]
    ) -> DecoderBatch:
        """Return the batch that feeds the same number of tokens to each slot.

        slots: ascending. n_cached: the tokens that each slot's cache holds already.
        """
        n_tokens = len(tokens[0])
        first_positions = torch.tensor(n_cached, device=self._device)[:, None]
        return DecoderBatch(
            tokens=torch.tensor(tokens, device=self._device),
            positions=first_positions + torch.arange(n_tokens, device=self._device),
            self_attention=self._self_kv.attention_for(slots, n_cached=n_cached, n_tokens=n_tokens),
            cross_attention=self._cross_kv.attention_for(slots, n_tokens=n_tokens),
        )


OnCrossQueries = Callable[[int, Tensor], None]
"""Called with each layer's index and its cross-attention queries, scaled, shape = (n_sequences, n_tokens, n_heads,
head_dim)."""


class DecoderPass(Protocol):
    """Feeds a batch to the decoder."""

    def __call__(self, batch: DecoderBatch, on_cross_queries: OnCrossQueries = ...) -> Tensor:
        """Return features, shape = (n_sequences, n_tokens, d_model), and cache the tokens' keys and values.

        Whoever makes logits of them knows whether the last norm is still to come.
        """
        ...


class Decoder:
    """A `DecoderPass`. Reads and writes the caches through its batches. Keeps no state between calls.

    Its features are still to go through the last norm.
    """

    def __init__(
        self,
        tensors: Tensors,
        make_linear: LinearFactory,
        *,
        pad_rows: RowPadding,
        shape: CacheShape,
        embeddings: Tensor,
    ) -> None:
        """embeddings: of the tokens, shape = (n_vocab, d_model), in any floating-point dtype."""
        self._embeddings = embeddings
        self._pad_rows = pad_rows
        self._positions = tensors["embed_positions.weight"]  # (max_tokens, d_model)
        self.layers = [
            DecoderLayer(tensors.under(f"layers.{index}"), make_linear, shape=shape)
            for index in range(shape.n_layers)
        ]

    def __call__(
        self, batch: DecoderBatch, on_cross_queries: OnCrossQueries = lambda layer, queries: None
    ) -> Tensor:
        """Return features, shape = (n_sequences, n_tokens, d_model), and cache the tokens' keys and values."""
        x = self.embed(batch.tokens, batch.positions)
        shape = x.shape
        x = self._pad_rows(x.flatten(0, 1))
        for index, layer in enumerate(self.layers):
            heads = layer.self_attention_heads(x, batch)
            x = layer.add_self_attention(x, batch.self_attention(index, heads))
            queries = layer.cross_attention_queries(x, batch)
            on_cross_queries(index, queries)
            x = layer.add_cross_attention(x, batch.cross_attention(index, queries))
            x = layer.add_feed_forward(x)
        return x[: batch.tokens.numel()].view(shape)

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return what the layers read, shape = (*tokens.shape, d_model)."""
        embedded = F.embedding(tokens, self._embeddings).to(self._positions.dtype)
        return embedded + F.embedding(positions, self._positions)


class CrossProjection:
    """Projects a window's features to the keys and values of all decoder layers' cross-attention."""

    def __init__(self, tensors: Tensors, make_linear: LinearFactory, *, n_layers: int) -> None:
        attentions = [tensors.under(f"layers.{index}.encoder_attn") for index in range(n_layers)]
        self._layers = [
            make_linear(*fuse_projections([attention.linear(name) for name in ("k_proj", "v_proj")]))
            for attention in attentions
        ]

    def __call__(self, features: Tensor) -> Iterator[Tensor]:
        """Yield each layer's keys and values, shape = (n_positions, 2 × d_model).

        features: shape = (n_positions, d_model).
        """
        for layer in self._layers:
            yield layer(features)


class DecoderLayer:
    """x is a batch's tokens as rows, shape = (n_rows, d_model). The last rows may be padding."""

    def __init__(self, tensors: Tensors, make_linear: LinearFactory, *, shape: CacheShape) -> None:
        own, cross = tensors.under("self_attn"), tensors.under("encoder_attn")
        scaling = shape.head_dim**-0.5
        self._n_heads = shape.n_heads
        # Weights get no names: a local variable would keep them in memory until the layer is complete.
        self.self_qkv = make_linear(
            *fuse_projections([own.linear(name) for name in ("q_proj", "k_proj", "v_proj")], scale_first=scaling),
            LayerNorm(*tensors.norm("self_attn_layer_norm")),
        )
        self.self_out = make_linear(*own.linear("out_proj"))
        self.cross_q = make_linear(
            *fuse_projections([cross.linear("q_proj")], scale_first=scaling),
            LayerNorm(*tensors.norm("encoder_attn_layer_norm")),
        )
        self.cross_out = make_linear(*cross.linear("out_proj"))
        self.fc1 = make_linear(*tensors.linear("fc1"), LayerNorm(*tensors.norm("final_layer_norm")))
        self.fc2 = make_linear(*tensors.linear("fc2"))

    def self_attention_heads(self, x: Tensor, batch: DecoderBatch) -> Tensor:
        """Return the tokens' queries, keys and values, shape = (n_sequences, n_tokens, 3, n_heads, head_dim)."""
        heads = self.self_qkv(x)[: batch.tokens.numel()]
        return heads.view(*batch.tokens.shape, 3, self._n_heads, -1)

    def add_self_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        return self.self_out.add(_as_rows_of(x, attended), x)

    def cross_attention_queries(self, x: Tensor, batch: DecoderBatch) -> Tensor:
        """Return the tokens' queries, shape = (n_sequences, n_tokens, n_heads, head_dim)."""
        queries = self.cross_q(x)[: batch.tokens.numel()]
        return queries.view(*batch.tokens.shape, self._n_heads, -1)

    def add_cross_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        return self.cross_out.add(_as_rows_of(x, attended), x)

    def add_feed_forward(self, x: Tensor) -> Tensor:
        return self.fc2.add(self.fc1.gelu(x), x)


def _as_rows_of(x: Tensor, attended: Tensor) -> Tensor:
    """Return the result of attention in the shape of x, with zeros for rows of padding."""
    rows = attended.reshape(-1, x.shape[1])
    return F.pad(rows, (0, 0, 0, len(x) - len(rows)))
