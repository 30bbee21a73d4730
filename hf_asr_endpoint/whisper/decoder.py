"""Whisper's text decoder over fused layers and slot-indexed caches: tokens to features of what comes next.

One code path for prefill (several tokens of a few sequences) and decode step (one token of all sequences).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperDecoderLayer

from hf_asr_endpoint.whisper.attention import attend_rows
from hf_asr_endpoint.whisper.decoder_batch import DecoderBatch
from hf_asr_endpoint.whisper.kv_cache import KVCaches
from hf_asr_endpoint.whisper.layers import LayerNorm, MakeLinear, stack


class Decoder:
    """Reads and writes the caches; keeps nothing else from call to call."""

    def __init__(self, module: WhisperDecoder, make_linear: MakeLinear, caches: KVCaches) -> None:
        self._tokens = module.embed_tokens.weight.detach()  # (n_vocab, d_model)
        self._positions = module.embed_positions.weight.detach()  # (max_tokens, d_model)
        self._layers = [
            _DecoderLayer(layer, make_linear, self_kv, cross_kv)
            for layer, self_kv, cross_kv in zip(_layers(module), caches.self_kv, caches.cross_kv, strict=True)
        ]
        self._norm = LayerNorm(module.layer_norm)

    def __call__(self, batch: DecoderBatch) -> Tensor:
        """Return features, shape = (n_sequences, n_tokens, d_model), and cache the tokens' keys and values."""
        x = F.embedding(batch.tokens, self._tokens) + F.embedding(batch.positions, self._positions)
        n_sequences, n_tokens, d_model = x.shape
        x = x.view(-1, d_model)
        for layer in self._layers:
            x = layer(x, batch)
        return self._norm(x).view(n_sequences, n_tokens, d_model)


class CrossProjection:
    """All decoder layers' cross-attention keys and values of an encoded window."""

    def __init__(self, module: WhisperDecoder, make_linear: MakeLinear) -> None:
        attentions = [layer.encoder_attn for layer in _layers(module)]
        self._linears = [make_linear(*stack((attention.k_proj, attention.v_proj))) for attention in attentions]

    def write(self, features: Tensor, caches: KVCaches, slot: int) -> None:
        """Cache them for a slot. features: shape = (n_positions, d_model)."""
        for layer, linear in enumerate(self._linears):
            caches.write_cross(slot, layer, linear(features))


def _layers(module: WhisperDecoder) -> list[WhisperDecoderLayer]:
    return cast("list[WhisperDecoderLayer]", list(module.layers))


class _DecoderLayer:
    def __init__(
        self, module: WhisperDecoderLayer, make_linear: MakeLinear, self_kv: Tensor, cross_kv: Tensor
    ) -> None:
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
        self._self_kv, self._cross_kv = self_kv, cross_kv

    def __call__(self, x: Tensor, batch: DecoderBatch) -> Tensor:
        heads = self._qkv(self._self_norm(x)).view(*batch.tokens.shape, 3, self._n_heads, -1)
        self._self_kv[:, batch.slots, :, batch.positions] = heads[:, :, 1:]
        x = self._out.add(self._attend(heads[:, :, 0], self._self_kv, batch, is_cross=False), x)
        queries = self._cross_q(self._cross_norm(x)).view(*batch.tokens.shape, self._n_heads, -1)
        x = self._cross_out.add(self._attend(queries, self._cross_kv, batch, is_cross=True), x)
        return self._fc2.add(self._fc1.gelu(self._feed_forward_norm(x)), x)

    def _attend(self, queries: Tensor, kv: Tensor, batch: DecoderBatch, *, is_cross: bool) -> Tensor:
        """Return what the rows attend to, shape = (n_sequences × n_tokens, d_model).

        queries: (n_sequences, n_tokens, n_heads, head_dim). Neighbouring slots are computed together: their
        rows of the cache lie side by side, and picking single ones would copy them.
        """
        n_sequences, n_tokens, n_heads, head_dim = queries.shape
        by_head = queries.transpose(1, 2)  # (n_sequences, n_heads, n_tokens, head_dim)
        parts = []
        for run in batch.runs:
            span = run.cross if is_cross else run.own
            keys, values = kv[:, run.slots].flatten(1, 2)[:, :, : span.length]
            rows = by_head[run.rows].reshape(-1, n_tokens, head_dim)
            parts.append(attend_rows(rows, keys, values, span.mask))
        attended = parts[0] if len(parts) == 1 else torch.cat(parts)
        by_token = attended.view(n_sequences, n_heads, n_tokens, head_dim).transpose(1, 2)
        return by_token.reshape(n_sequences * n_tokens, n_heads * head_dim)
