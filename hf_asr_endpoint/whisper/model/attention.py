"""Scaled dot-product attention, computed the way that is fastest for each device and shape.

Queries come scaled already: the factor is folded into their weights.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper import kernels
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, encoder_attention_scratch_bytes
from hf_asr_endpoint.whisper.process import N_CORES


def encoder_attention(heads: Tensor) -> Tensor:
    """Return what all positions attend to, for the encoder; shape = (n_positions, n_heads, head_dim).

    heads: queries, scaled, keys and values, shape = (n_positions, 3, n_heads, head_dim).
    """
    n_positions, _, n_heads, head_dim = heads.shape
    suits = heads.device.type == "cpu" and heads.dtype == torch.bfloat16 and head_dim == HEAD_DIM
    if not (suits and kernels.prefer_tiles()):
        queries, keys, values = heads.permute(1, 2, 0, 3)[:, None]
        return F.scaled_dot_product_attention(queries, keys, values, scale=1.0)[0].transpose(0, 1)
    heads = heads.contiguous()
    attended = heads.new_empty((n_positions, n_heads, head_dim))
    n_scratch_bytes = encoder_attention_scratch_bytes(n_positions)
    scratch = torch.empty((N_CORES, n_scratch_bytes), dtype=torch.uint8)
    addresses = [tensor.data_ptr() for tensor in (heads, attended, scratch)]
    kernels.encoder_attention_kernel()((*addresses, n_positions, n_heads, n_scratch_bytes))
    return attended


def decoder_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Return a few query rows' attention to a cache, for the decoder; shaped like the queries.

    queries: shape = (n_sequences, n_tokens, n_heads, head_dim). keys, values: (n_rows, n_heads, n_positions,
    head_dim); equally many sequences share each row. mask: added to the scores, shape =
    (n_rows × n_heads, 1 or all the row's tokens, n_positions).

    Plain products: on the CPU `scaled_dot_product_attention` takes up to six times as long for one row.
    """
    _, n_tokens, n_heads, head_dim = queries.shape
    asked = queries.reshape(len(keys), -1, n_heads, head_dim).transpose(1, 2)
    rows = asked.reshape(-1, asked.shape[2], head_dim)
    scores = torch.baddbmm(mask, rows, keys.flatten(0, 1).transpose(1, 2))
    found = torch.bmm(torch.softmax(scores, dim=-1), values.flatten(0, 1))
    return found.view(asked.shape).transpose(1, 2).reshape(-1, n_tokens, n_heads, head_dim)
