"""Attention of the dense caches: batched products over contiguous rows of a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

Rows = slice | list[int]
"""Rows of a batch. A range of adjacent rows is a slice, because indexing by it copies nothing."""


def batched_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attend from a few sequences' queries to cached keys and values. The result is shaped like the queries.

    queries: scaled, shape = (n_sequences, n_tokens, n_heads, head_dim). keys, values: shape = (n_rows, n_heads,
    n_positions, head_dim); each row is shared by the same number of adjacent sequences. mask: added to the scores,
    shape = (n_rows × n_heads, 1 or the queries of a row, n_positions).

    Uses plain products, because `scaled_dot_product_attention` takes up to six times as long on the CPU for one
    query.
    """
    _, n_tokens, n_heads, head_dim = queries.shape
    by_row = queries.reshape(len(keys), -1, n_heads, head_dim).transpose(1, 2)
    by_head = by_row.reshape(-1, by_row.shape[2], head_dim)
    scores = torch.baddbmm(mask, by_head, keys.flatten(0, 1).transpose(1, 2))
    attended = torch.bmm(torch.softmax(scores, dim=-1), values.flatten(0, 1))
    return attended.view(by_row.shape).transpose(1, 2).reshape(-1, n_tokens, n_heads, head_dim)


def contiguous_runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the index ranges, begin and end, within which each number is one more than the number before it."""
    begin = 0
    for index in range(1, len(numbers) + 1):
        if index == len(numbers) or numbers[index] != numbers[index - 1] + 1:
            yield begin, index
            begin = index
