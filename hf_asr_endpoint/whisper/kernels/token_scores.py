"""The likeliest token of each row of logits, and the sum of all probabilities: of text and of timestamps apart.

A vocabulary of 52,000 tokens is read once, while its logits are in the cache, by all threads.

data: the addresses of logits, activations, shape = (n_rows, n_vocab); of what is added to each token's logit,
float32, shape = (n_vocab,): 0, or FORBIDDEN; of the sections of each row, int64, shape = (n_rows, 2, 2): the ids
from which and to which tokens are allowed, of text and of timestamps; of the result, float32, shape = (n_rows,
n_parts, 2, 3); then n_rows and n_vocab. The result of a section in a part, which is PART_TOKENS of the vocabulary:
the largest logit, FORBIDDEN if there is none; the sum of e to the logits minus that one; and the token's id.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.layout import FORBIDDEN, PART_TOKENS
from hf_asr_endpoint.whisper.kernels.scalar import (
    activation_type,
    exp,
    maximum,
    pointer,
    tasks_of_thread,
    to_float32,
)

BLOCK_TOKENS = 64
"""Whose largest logit is kept: the likeliest token is looked for in one block alone."""

_FORBIDDEN = np.float32(FORBIDDEN)


def make_token_scores(isa: Isa) -> Any:
    """Return the kernel. Threads share out the parts of all rows."""
    activation = activation_type(isa)

    def token_scores(data):
        args = carray(data, (6,))
        n_rows, n_vocab = args[4], args[5]
        n_parts = (n_vocab + PART_TOKENS - 1) // PART_TOKENS
        logits = carray(pointer(args[0], activation), (n_rows, n_vocab))
        added = carray(pointer(args[1], np.float32), (n_vocab,))
        sections = carray(pointer(args[2], np.int64), (n_rows, 2, 2))
        result = carray(pointer(args[3], np.float32), (n_rows, n_parts, 2, 3))
        for task in tasks_of_thread(data, 6, n_rows * n_parts):
            row, part = task // n_parts, task % n_parts
            first = part * PART_TOKENS
            last = min(first + PART_TOKENS, n_vocab)
            for section in range(2):
                begin, end = max(first, sections[row, section, 0]), min(last, sections[row, section, 1])
                found = result[row, part, section]
                found[0], found[1], found[2] = _FORBIDDEN, np.float32(0), np.float32(0)
                if begin < end:
                    _score(logits[row, begin:end], added[begin:end], found)
                    found[2] += np.float32(begin)

    return token_scores


@compiled
def _score(logits, added, found):
    """Write the largest of logits and what is added to them, the sum of powers, and the index of the largest."""
    n_tokens, largest, block_of_largest = len(logits), _FORBIDDEN, 0
    for block in range(0, n_tokens, BLOCK_TOKENS):
        largest_here = _FORBIDDEN
        for n in range(block, min(block + BLOCK_TOKENS, n_tokens)):
            largest_here = maximum(largest_here, to_float32(logits[n]) + added[n])
        if largest_here > largest:
            largest, block_of_largest = largest_here, block
    total = np.float32(0)
    for n in range(n_tokens):
        total += exp(to_float32(logits[n]) + added[n] - largest)
    index = block_of_largest
    while index < n_tokens - 1 and to_float32(logits[index]) + added[index] < largest:
        index += 1
    found[0], found[1], found[2] = largest, total, np.float32(index)
