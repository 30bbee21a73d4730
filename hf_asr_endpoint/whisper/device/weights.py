"""Weights as the device reads them: fused, in the order of use. Built from a checkpoint's tensors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.checkpoint.config import ModelConfig
from hf_asr_endpoint.whisper.checkpoint.tensors import EMBEDDINGS, OUTPUT, Tensors
from hf_asr_endpoint.whisper.model.layers import fuse_projections

VOCABULARY_STEP = 64

Linear = tuple[Tensor, Tensor]
"""Weight, shape = (n_out, n_in), and bias."""
Norm = tuple[Tensor, Tensor]
"""Weight and bias of a layer norm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWeights:
    """One decoder layer. Queries are scaled by their weights."""

    self_norm: Norm
    self_qkv: Linear
    self_out: Linear
    cross_norm: Norm
    cross_query: Linear
    cross_out: Linear
    hidden_norm: Norm
    hidden: Linear
    hidden_out: Linear
    cross_kv: Linear


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderWeights:
    """embeddings: of the tokens. output: its weight; in most models the same tensor. Zeros make their rows a
    multiple of VOCABULARY_STEP, so that the rows of logits are aligned. positions: of the tokens' places.
    """

    layers: list[LayerWeights]
    final_norm: Norm
    embeddings: Tensor
    output: Tensor
    positions: Tensor
    n_heads: int


def decoder_weights(tensors: Tensors, config: ModelConfig) -> DecoderWeights:
    decoder, embeddings = tensors.under("model.decoder"), _whole_steps(tensors[EMBEDDINGS])
    scaling = (config.d_model // config.decoder_attention_heads) ** -0.5
    layers = []
    for index in range(config.decoder_layers):
        layer = decoder.under(f"layers.{index}")
        own, cross = layer.under("self_attn"), layer.under("encoder_attn")
        own_projections = [own.linear(name) for name in ("q_proj", "k_proj", "v_proj")]
        layers.append(
            LayerWeights(
                self_norm=layer.norm("self_attn_layer_norm"),
                self_qkv=fuse_projections(own_projections, scale_first=scaling),
                self_out=fuse_projections([own.linear("out_proj")]),
                cross_norm=layer.norm("encoder_attn_layer_norm"),
                cross_query=fuse_projections([cross.linear("q_proj")], scale_first=scaling),
                cross_out=fuse_projections([cross.linear("out_proj")]),
                hidden_norm=layer.norm("final_layer_norm"),
                hidden=fuse_projections([layer.linear("fc1")]),
                hidden_out=fuse_projections([layer.linear("fc2")]),
                cross_kv=fuse_projections([cross.linear(name) for name in ("k_proj", "v_proj")]),
            )
        )
    return DecoderWeights(
        layers=layers,
        final_norm=decoder.norm("layer_norm"),
        embeddings=embeddings,
        output=_whole_steps(tensors[OUTPUT]) if OUTPUT in tensors else embeddings,
        positions=decoder["embed_positions.weight"],
        n_heads=config.decoder_attention_heads,
    )


def _whole_steps(matrix: Tensor) -> Tensor:
    return F.pad(matrix, (0, 0, 0, -len(matrix) % VOCABULARY_STEP))


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderLayerWeights:
    attention_norm: Norm
    qkv: Linear
    out: Linear
    hidden_norm: Norm
    hidden: Linear
    hidden_out: Linear


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderWeights:
    """convolutions: weight as a linear layer's, shape = (n_out, 3 × n_in), and bias."""

    convolutions: list[Linear]
    positions: Tensor
    layers: list[EncoderLayerWeights]
    final_norm: Norm
    n_heads: int


def encoder_weights(tensors: Tensors, config: ModelConfig) -> EncoderWeights:
    encoder = tensors.under("model.encoder")
    scaling = (config.d_model // config.encoder_attention_heads) ** -0.5
    layers = []
    for index in range(config.encoder_layers):
        layer = encoder.under(f"layers.{index}")
        own = layer.under("self_attn")
        projections = [own.linear(name) for name in ("q_proj", "k_proj", "v_proj")]
        layers.append(
            EncoderLayerWeights(
                attention_norm=layer.norm("self_attn_layer_norm"),
                qkv=fuse_projections(projections, scale_first=scaling),
                out=fuse_projections([own.linear("out_proj")]),
                hidden_norm=layer.norm("final_layer_norm"),
                hidden=fuse_projections([layer.linear("fc1")]),
                hidden_out=fuse_projections([layer.linear("fc2")]),
            )
        )
    convolutions = [encoder.convolution(name) for name in ("conv1", "conv2")]
    return EncoderWeights(
        convolutions=[(weight.transpose(1, 2).flatten(1).contiguous(), bias) for weight, bias in convolutions],
        positions=encoder["embed_positions.weight"],
        layers=layers,
        final_norm=encoder.norm("layer_norm"),
        n_heads=config.encoder_attention_heads,
    )
