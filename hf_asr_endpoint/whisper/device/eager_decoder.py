"""The decoder over several tokens of a few sequences: long prompts, beams, texts to align, language detection."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.device.operations import MAX_HALF
from hf_asr_endpoint.whisper.device.weights import DecoderWeights, Linear, Norm
from hf_asr_endpoint.whisper.model.decoder import DecoderBatch, OnCrossQueries


class EagerDecoder:
    """A `DecoderPass` with the weights that steps use."""

    def __init__(self, weights: DecoderWeights) -> None:
        self._weights = weights

    def __call__(
        self, batch: DecoderBatch, on_cross_queries: OnCrossQueries = lambda layer, queries: None
    ) -> Tensor:
        weights, shape = self._weights, (*batch.tokens.shape, self._weights.n_heads, -1)
        x = F.embedding(batch.tokens, weights.embeddings) + F.embedding(batch.positions, weights.positions)
        for index, layer in enumerate(weights.layers):
            heads = F.linear(_norm(x, layer.self_norm), *layer.self_qkv).unflatten(-1, (3, weights.n_heads, -1))
            x = _add(x, batch.self_attention(index, heads).flatten(2), layer.self_out)
            queries = F.linear(_norm(x, layer.cross_norm), *layer.cross_query).view(shape)
            on_cross_queries(index, queries)
            x = _add(x, batch.cross_attention(index, queries).flatten(2), layer.cross_out)
            x = _add(x, F.gelu(F.linear(_norm(x, layer.hidden_norm), *layer.hidden)), layer.hidden_out)
        return _norm(x, weights.final_norm)


def _norm(x: Tensor, norm: Norm) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], *norm)


def _add(x: Tensor, y: Tensor, linear: Linear) -> Tensor:
    """Return the residual and a linear layer, clamped to float16's range."""
    return torch.clamp(x + F.linear(y, *linear), -MAX_HALF, MAX_HALF)
