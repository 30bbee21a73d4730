"""The likeliest allowed token of each row, and its log-probability, from the scores that `token_scores` wrote.

It chooses what the logit filters and `choose_tokens` choose in rows that have no options of their own. When all
timestamps together are likelier than any other token, only timestamps are allowed, as in openai/whisper's
ApplyTimestampRules.

data: the addresses of the scores and of the result, float32, shape = (n_rows, 2): the token's id, which float32
holds exactly, and its log-probability; then n_rows and n_parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from hf_asr_endpoint.whisper.kernels.compile import compiled
from hf_asr_endpoint.whisper.kernels.isa import Isa
from hf_asr_endpoint.whisper.kernels.scalar import pointer, tasks_of_thread

TEXT, TIMESTAMPS = 0, 1


def make_choose_likeliest(isa: Isa) -> Any:
    """Return the kernel."""

    def choose_likeliest(data):
        args = carray(data, (4,))
        n_rows, n_parts = args[2], args[3]
        scores = carray(pointer(args[0], np.float32), (n_rows, n_parts, 2, 3))
        result = carray(pointer(args[1], np.float32), (n_rows, 2))
        for row in tasks_of_thread(data, 4, n_rows):
            text, text_logit, text_total = _merge(scores[row], TEXT)
            timestamp, timestamp_logit, timestamp_total = _merge(scores[row], TIMESTAMPS)
            must_be_timestamp = timestamp_logit + np.log(timestamp_total) > text_logit
            if must_be_timestamp:
                token, logprob = timestamp, -np.log(timestamp_total)
            else:
                # All timestamps together are no likelier than this token, so the power is at most 1.
                total = text_total + timestamp_total * np.exp(timestamp_logit - text_logit)
                token, logprob = text, -np.log(total)
            result[row, 0], result[row, 1] = token, logprob

    return choose_likeliest


@compiled
def _merge(parts, section):
    """Return the likeliest token of a section, its logit, and the sum of e to all logits minus that one."""
    best = 0
    for part in range(1, len(parts)):
        if parts[part, section, 0] > parts[best, section, 0]:
            best = part
    largest, total = np.float64(parts[best, section, 0]), np.float64(0)
    for part in range(len(parts)):
        total += np.float64(parts[part, section, 1]) * np.exp(np.float64(parts[part, section, 0]) - largest)
    return parts[best, section, 2], largest, max(total, 1.0)
