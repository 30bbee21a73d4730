"""Whisper's text decoder over fused layers and slot-indexed caches: tokens to features of what comes next.

One code path for prefill (several tokens of a few sequences) and decode step (one token of all sequences).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperDecoderLayer

from hf_asr_endpoint.whisper.attention import attend_rows
from hf_asr_endpoint.whisper.decoder_batch import DecoderBatch, Run
from hf_asr_endpoint.whisper.kv_cache import CrossKV, CrossRow, KVCaches
from hf_asr_endpoint.whisper.layers import LayerNorm, MakeLinear, stack

OnQueries = Callable[[int, Tensor], None]
"""Told a layer's queries of the encoded window, scaled, shape = (n_sequences, n_tokens, n_heads, head_dim)."""


class Decoder:
    """Reads and writes the caches; keeps nothing else from call to call."""

    def __init__(self, module: WhisperDecoder, make_linear: MakeLinear, caches: KVCaches) -> None:
        self._tokens = module.embed_tokens.weight.detach()  # (n_vocab, d_model)
        self._positions = module.embed_positions.weight.detach()  # (max_tokens, d_model)
        self._layers = [_DecoderLayer(layer, make_linear) for layer in _layers(module)]
        self._norm = LayerNorm(module.layer_norm)
        self._caches = caches

    def __call__(self, batch: DecoderBatch, on_queries: OnQueries = lambda layer, queries: None) -> Tensor:
        """Return features, shape = (n_sequences, n_tokens, d_model), and cache the tokens' keys and values."""
        x = F.embedding(batch.tokens, self._tokens) + F.embedding(batch.positions, self._positions)
        n_sequences, n_tokens, d_model = x.shape
        x = x.view(-1, d_model)
        caches = zip(self._caches.self_kv, self._caches.cross_kv, strict=True)
        for index, (layer, (self_kv, cross_kv)) in enumerate(zip(self._layers, caches, strict=True)):
            x, queries = layer(x, batch, self_kv, cross_kv)
            on_queries(index, queries)
        return self._norm(x).view(n_sequences, n_tokens, d_model)


class CrossProjection:
    """All decoder layers' cross-attention keys and values of an encoded window."""

    def __init__(self, module: WhisperDecoder, make_linear: MakeLinear) -> None:
        attentions = [layer.encoder_attn for layer in _layers(module)]
        self._linears = [make_linear(*stack((attention.k_proj, attention.v_proj))) for attention in attentions]

    def write(self, features: Tensor, caches: KVCaches, place: CrossRow) -> None:
        """Cache them. features: shape = (n_positions, d_model)."""
        for layer, linear in enumerate(self._linears):
            caches.write_cross(place, layer, linear(features))


def _layers(module: WhisperDecoder) -> list[WhisperDecoderLayer]:
    return cast("list[WhisperDecoderLayer]", list(module.layers))


class _DecoderLayer:
    def __init__(self, module: WhisperDecoderLayer, make_linear: MakeLinear) -> None:
        own, cross = module.self_attn, module.encoder_attn
        self._n_heads = own.num_heads
        self._qkv = make_linear(*stack((own.q_proj, own.k_proj, own.v_proj), scale_first=own.scaling))
        self._out = make_linear(own.out_proj.weight, own.out_proj.bias)
        self._cross_q = make_linear(*stack((cross.q_proj,), scale_first=cross.scaling))
        self._cross_out = make_linear(cross.out_proj.weight, cross.out_proj.bias)
        self._fc1 = make_linear(module.fc1.weight, module.fc1.bias)
        self._fc2 = make_linear(module.fc2.weight, module.fc2.bias)
        self._self_norm = LayerNorm(module.self_attn_layer_norm)
        self._cross_norm = LayerNorm(module.encoder_attn_layer_norm)
        self._feed_forward_norm = LayerNorm(module.final_layer_norm)

    def __call__(
        self, x: Tensor, batch: DecoderBatch, self_kv: Tensor, cross_kv: Mapping[int, CrossKV]
    ) -> tuple[Tensor, Tensor]:
        """Return the layer's features and its queries of the encoded window."""
        heads = self._qkv(self._self_norm(x)).view(*batch.tokens.shape, 3, self._n_heads, -1)
        self_kv[:, batch.slots, :, batch.positions] = heads[:, :, 1:]
        own = [(run, self_kv[0, run.cached], self_kv[1, run.cached]) for run in batch.own]
        x = self._out.add(_attend(heads[:, :, 0], own), x)
        queries = self._cross_q(self._cross_norm(x)).view(*batch.tokens.shape, self._n_heads, -1)
        cross = [
            (run, cross_kv[run.length].keys[run.cached], cross_kv[run.length].values[run.cached].transpose(2, 3))
            for run in batch.cross
        ]
        x = self._cross_out.add(_attend(queries, cross), x)
        return self._fc2.add(self._fc1.gelu(self._feed_forward_norm(x)), x), queries


def _attend(queries: Tensor, runs: Sequence[tuple[Run, Tensor, Tensor]]) -> Tensor:
    """Return what the rows attend to, shape = (n_sequences × n_tokens, d_model).

    queries: (n_sequences, n_tokens, n_heads, head_dim). runs: each with the caches' keys and values for its
    rows, shape = (n_rows, n_heads, length, head_dim). Neighbours in the caches are computed together; picking
    single ones would copy them. Beams that share a row are queries to the same keys.
    """
    n_sequences, n_tokens, n_heads, head_dim = queries.shape
    attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
    for run, keys, values in runs:
        asked = queries[run.rows].reshape(len(keys), -1, n_heads, head_dim).transpose(1, 2)
        rows = asked.reshape(-1, asked.shape[2], head_dim)
        found = attend_rows(rows, keys.flatten(0, 1), values.flatten(0, 1), run.mask)
        attended[run.rows] = found.view(asked.shape).transpose(1, 2).reshape(-1, n_tokens, n_heads, head_dim)
    return attended.view(n_sequences * n_tokens, n_heads * head_dim)
