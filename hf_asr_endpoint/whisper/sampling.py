"""The choice of the next token from filtered logits, with its log-probability."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.decoding_state import NO_FILTERS, DecodingState
from hf_asr_endpoint.whisper.sampling_filters import filter_scores


def choose_tokens(logits: Tensor, states: Sequence[DecodingState]) -> list[tuple[int, float]]:
    """Return for each row a token and its log-probability at temperature 1, as openai/whisper accounts for it.

    logits: float32, shape = (n_slots, n_vocab), -inf where not allowed. A row at temperature 0 takes the
    likeliest token; another one samples from its own source of chance, so that its tokens do not depend
    on which other sequences run beside it.
    """
    logprobs = torch.log_softmax(logits, dim=1)
    tokens = _likeliest(logits)
    chosen = list(zip(tokens[:, 0].tolist(), logprobs.gather(1, tokens)[:, 0].tolist(), strict=True))
    for row, state in enumerate(states):
        if state.rules.temperature > 0:
            token = _sample(logits[row], state)
            chosen[row] = (token, float(logprobs[row, token]))
    return chosen


def _likeliest(logits: Tensor) -> Tensor:
    """Return each row's largest column, the first of equals, int64, shape = (n_rows, 1)."""
    if logits.device.type == "cpu":  # torch takes twelve times as long as numpy: 0.44 ms for 14 rows, and 0.04.
        return torch.from_numpy(logits.numpy().argmax(axis=1, keepdims=True))
    return logits.argmax(dim=1, keepdim=True)


def _sample(logits: Tensor, state: DecodingState) -> int:
    """Invert the distribution function. logits: shape = (n_vocab,)."""
    # Not from log-probabilities: rounded otherwise, what lies on a filter's edge would fall on its other side.
    scores = logits / state.rules.temperature
    if state.rules.filters != NO_FILTERS:
        scores = filter_scores(scores, state.rules.filters)
    reached = torch.cumsum(torch.softmax(scores.double(), dim=0), dim=0)
    point = state.random.random() * float(reached[-1])
    return min(int(torch.searchsorted(reached, point, right=True)), len(logits) - 1)
