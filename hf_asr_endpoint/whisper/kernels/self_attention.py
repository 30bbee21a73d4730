"""Attention of new tokens to the keys and values of the texts they go on."""

from __future__ import annotations

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.launch import on_threads
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM, Kernel
from hf_asr_endpoint.whisper.kernels.scalar import (
    exponentiate,
    narrow,
    pointer,
    thread_count,
    thread_number,
    widen,
)


def compile_kernel() -> Kernel:
    """Return the kernel; see `_self_attention` for its data."""
    return on_threads(_self_attention)


@compiled
def _widen_row(row, wide):
    for d in range(HEAD_DIM):
        wide[d] = widen(row[d])


@compiled
def _score_tokens(query, keys, scores):
    """Write query · key for each token. query: float32. keys: bfloat16, shape = (max_tokens, HEAD_DIM)."""
    for n in range(len(scores)):
        key = keys[n]
        score = np.float32(0)
        for d in range(HEAD_DIM):
            score += query[d] * widen(key[d])
        scores[n] = score


@compiled
def _average_tokens(weights, values, total, sums, attended):
    """Write the weighted mean of the values, shape = (max_tokens, HEAD_DIM). sums: to work in."""
    sums[:] = np.float32(0)
    for n in range(len(weights)):
        value, weight = values[n], weights[n]
        for d in range(HEAD_DIM):
            sums[d] += weight * widen(value[d])
    for d in range(HEAD_DIM):
        attended[d] = narrow(sums[d] / total)


def _self_attention(data):
    """Attend from each new token to itself and all before it, a head of a sequence at a time.

    data: addresses of the new tokens' queries, keys and values, bfloat16, shape = (n_sequences, n_tokens, 3,
    n_heads, HEAD_DIM); of what is written, (n_sequences, n_tokens, n_heads, HEAD_DIM); of texts, int64, shape =
    (n_sequences, 2): address and number of tokens; of float32 to work in, shape = (N_CORES, max_tokens +
    2 × HEAD_DIM); n_sequences, n_tokens, n_heads, max_tokens.
    At a text's address: keys, then values, bfloat16, shape = (n_heads, max_tokens, HEAD_DIM). The new ones are
    added there.
    """
    args = carray(data, (8,))
    n_sequences, n_tokens, n_heads, max_tokens = args[4], args[5], args[6], args[7]
    given = carray(pointer(args[0], np.uint16), (n_sequences, n_tokens, 3, n_heads, HEAD_DIM))
    attended = carray(pointer(args[1], np.uint16), (n_sequences, n_tokens, n_heads, HEAD_DIM))
    texts = carray(pointer(args[2], np.int64), (n_sequences, 2))
    thread, n_threads = np.int64(thread_number()), np.int64(thread_count())
    scratch = carray(pointer(args[3], np.float32), (n_threads, max_tokens + 2 * HEAD_DIM))[thread]
    query, sums, scores = scratch[:HEAD_DIM], scratch[HEAD_DIM : 2 * HEAD_DIM], scratch[2 * HEAD_DIM :]
    n_tasks = n_sequences * n_heads
    for task in range(n_tasks * thread // n_threads, n_tasks * (thread + 1) // n_threads):
        sequence, head = task // n_heads, task % n_heads
        begin = texts[sequence, 1]
        text = carray(pointer(texts[sequence, 0], np.uint16), (2, n_heads, max_tokens, HEAD_DIM))
        for token in range(n_tokens):
            text[0, head, begin + token] = given[sequence, token, 1, head]
            text[1, head, begin + token] = given[sequence, token, 2, head]
            _widen_row(given[sequence, token, 0, head], query)
            seen = scores[: begin + token + 1]
            _score_tokens(query, text[0, head], seen)
            total = exponentiate(seen)
            _average_tokens(seen, text[1, head], total, sums, attended[sequence, token, head])
