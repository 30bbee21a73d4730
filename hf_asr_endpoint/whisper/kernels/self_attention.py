"""Attention of new tokens to the cached keys and values of their sequences.

data: the addresses of the new tokens' queries, keys and values, activations, shape = (n_sequences, n_tokens, 3,
n_heads, HEAD_DIM); of the result, activations, shape = (n_sequences, n_tokens, n_heads, HEAD_DIM); of the
sequences' caches, int64, shape = (n_sequences, 2): the address and the number of cached tokens; of scratch memory,
float32, shape = (N_CORES, max_tokens + 2 × HEAD_DIM); then n_sequences, n_tokens, n_heads, max_tokens. A cache
holds keys, then values, bfloat16, each with shape = (n_heads, max_tokens, HEAD_DIM).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kernels.scalar import (
    activation_type,
    exp_scores,
    pointer,
    round_to_activation,
    tasks_of_thread,
    thread_count,
    thread_number,
    to_bfloat16,
    to_float32,
)


def make_self_attention(isa: Isa) -> Any:
    """Return the kernel that caches tokens' keys and values, and attends from each to itself and all before it.

    Threads share out the heads of the sequences.
    """
    activation, write_mean = activation_type(isa), _make_write_mean(isa)
    is_bfloat16 = activation is np.uint16

    def self_attention(data):
        args = carray(data, (8,))
        n_sequences, n_tokens, n_heads, max_tokens = args[4], args[5], args[6], args[7]
        heads = carray(pointer(args[0], activation), (n_sequences, n_tokens, 3, n_heads, HEAD_DIM))
        result = carray(pointer(args[1], activation), (n_sequences, n_tokens, n_heads, HEAD_DIM))
        caches = carray(pointer(args[2], np.int64), (n_sequences, 2))
        thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
        scratch = carray(pointer(args[3], np.float32), (n_threads, max_tokens + 2 * HEAD_DIM))[thread]
        query, sums, scores = scratch[:HEAD_DIM], scratch[HEAD_DIM : 2 * HEAD_DIM], scratch[2 * HEAD_DIM :]
        n_tasks = n_sequences * n_heads
        for task in tasks_of_thread(data, 8, n_tasks):
            sequence, head = task // n_heads, task % n_heads
            n_cached = caches[sequence, 1]
            cache = carray(pointer(caches[sequence, 0], np.uint16), (2, n_heads, max_tokens, HEAD_DIM))
            for token in range(n_tokens):
                if is_bfloat16:
                    cache[0, head, n_cached + token] = heads[sequence, token, 1, head]
                    cache[1, head, n_cached + token] = heads[sequence, token, 2, head]
                else:
                    _round_token(heads[sequence, token, 1, head], cache[0, head, n_cached + token])
                    _round_token(heads[sequence, token, 2, head], cache[1, head, n_cached + token])
                _load_query(heads[sequence, token, 0, head], query)
                visible_scores = scores[: n_cached + token + 1]
                _score_tokens(query, cache[0, head], visible_scores)
                total = exp_scores(visible_scores)
                write_mean(visible_scores, cache[1, head], total, sums, result[sequence, token, head])

    return self_attention


@compiled
def _round_token(row, cached):
    for d in range(HEAD_DIM):
        cached[d] = to_bfloat16(row[d])


@compiled
def _load_query(row, query):
    for d in range(HEAD_DIM):
        query[d] = to_float32(row[d])


@compiled
def _score_tokens(query, keys, scores):
    """Write query · key for each token. query: float32. keys: bfloat16, shape = (max_tokens, HEAD_DIM)."""
    for n in range(len(scores)):
        key = keys[n]
        score = np.float32(0)
        for d in range(HEAD_DIM):
            score += query[d] * to_float32(key[d])
        scores[n] = score


def _make_write_mean(isa: Isa) -> Any:
    """Return the function that writes the weighted mean of the values.

    total: the sum of the weights. sums: scratch, shape = (HEAD_DIM,).
    """
    to_activation = round_to_activation(isa)

    @compiled
    def write_mean(weights, values, total, sums, result):
        sums[:] = np.float32(0)
        for n in range(len(weights)):
            value, weight = values[n], weights[n]
            for d in range(HEAD_DIM):
                sums[d] += weight * to_float32(value[d])
        for d in range(HEAD_DIM):
            result[d] = to_activation(sums[d] / total)

    return write_mean
