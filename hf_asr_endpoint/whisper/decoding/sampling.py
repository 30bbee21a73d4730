"""Choosing the next token of rows without a search: the likeliest token, or one sampled through filters.

The filters and their order are transformers' (`GenerationMixin._get_logits_processor`); tests compare them. Each
keeps at least one token. Importing transformers' own would add half a second to every start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.decoding_options import SamplingFilters
from hf_asr_endpoint.whisper.decoding.state import DecodingState

NO_FILTERS = SamplingFilters()


def logsumexp(logits: Tensor) -> Tensor:
    """Return `torch.logsumexp` over each row, shape = (n_rows, 1).

    logits: float32, shape = (n_rows, n_vocab), at least one in each row above -inf. Computed from `log_softmax`,
    because `torch.logsumexp` is slower on the CPU, especially with many -inf.
    """
    max_logprob = torch.log_softmax(logits, dim=1).amax(dim=1, keepdim=True)
    return logits.amax(dim=1, keepdim=True).sub_(max_logprob)


def choose_tokens(logits: Tensor, states: Sequence[DecodingState]) -> list[tuple[int, float]]:
    """Return a token for each row, and its log-probability at temperature 1, as in openai/whisper.

    logits: float32, shape = (n_slots, n_vocab), -inf for tokens that are not allowed. A row at temperature 0 takes
    the likeliest token. Every other row samples with its own random generator, so that its tokens do not depend on
    the other sequences in the batch.
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
    """Return each row's argmax, the first of equals, int64, shape = (n_rows, 1)."""
    if logits.device.type == "cpu":  # numpy takes 0.04 ms for 14 rows, torch 0.44 ms.
        return torch.from_numpy(logits.numpy().argmax(axis=1, keepdims=True))
    return logits.argmax(dim=1, keepdim=True)


def _sample(logits: Tensor, state: DecodingState) -> int:
    """Return a token by inverse transform sampling. logits: shape = (n_vocab,)."""
    # Log-probabilities would be rounded differently, which would move tokens across the edge of a filter.
    scores, filters = logits / state.rules.temperature, state.rules.options.filters
    if filters != NO_FILTERS:
        scores = filter_scores(scores, filters)
    # On the host, which gets the token anyway: MPS has no float64 (pytorch#77764), and a GPU is waited for once.
    cumulative = torch.cumsum(torch.softmax(scores.cpu().double(), dim=0), dim=0)
    point = state.random.random() * float(cumulative[-1])
    return min(int(torch.searchsorted(cumulative, point, right=True)), len(logits) - 1)


def filter_scores(scores: Tensor, filters: SamplingFilters) -> Tensor:
    """Return scores with -inf for tokens that the filters remove.

    scores: logits divided by the temperature, shape = (n_vocab,).
    """
    if filters.top_k:
        scores = _without(scores, _beyond_top_k(scores, filters.top_k))
    if filters.top_p is not None and filters.top_p < 1:
        scores = _without(scores, _beyond_top_p(scores, filters.top_p))
    if filters.typical_p is not None and filters.typical_p < 1:
        scores = _without(scores, _beyond_typical_p(scores, filters.typical_p))
    if filters.epsilon_cutoff:
        scores = _without(scores, _below(scores, scores.new_tensor(filters.epsilon_cutoff)))
    if filters.eta_cutoff:
        scores = _without(scores, _below(scores, _eta(scores, filters.eta_cutoff)))
    return scores


def _without(scores: Tensor, removed: Tensor) -> Tensor:
    return scores.masked_fill(removed, -math.inf)


def _beyond_top_k(scores: Tensor, top_k: int) -> Tensor:
    """Keep the top_k likeliest tokens, and those that are as likely as the last of these."""
    return scores < torch.topk(scores, min(top_k, len(scores))).values[-1]


def _beyond_top_p(scores: Tensor, top_p: float) -> Tensor:
    """Keep the likeliest tokens whose probabilities sum to top_p (Holtzman et al. 2020, arXiv 1904.09751)."""
    ascending, order = torch.sort(scores)
    removed = ascending.softmax(dim=0).cumsum(dim=0) <= 1 - top_p
    removed[-1] = False
    return torch.empty_like(removed).scatter_(0, order, removed)


def _beyond_typical_p(scores: Tensor, typical_p: float) -> Tensor:
    """Keep the tokens whose information is closest to the entropy (Meister et al. 2023, arXiv 2202.00666)."""
    logprobs = scores.log_softmax(dim=0)
    entropy = -(logprobs * logprobs.exp()).nansum()
    distances, order = torch.sort((-logprobs - entropy).abs())
    cumulative = scores[order].softmax(dim=0).cumsum(dim=0)
    last = min(int((cumulative < typical_p).sum()), len(scores) - 1)
    return torch.empty_like(order, dtype=torch.bool).scatter_(0, order, distances > distances[last])


def _below(scores: Tensor, probability: Tensor) -> Tensor:
    """Remove tokens below a probability, but never the likeliest."""
    return (scores.softmax(dim=0) < probability) & (scores < scores.max())


def _eta(scores: Tensor, cutoff: float) -> Tensor:
    """Return the minimum probability, which depends on the entropy (Hewitt et al. 2022, arXiv 2210.15191)."""
    epsilon = scores.new_tensor(cutoff)
    logprobs = scores - scores.logsumexp(dim=0)
    # The clamp makes 0 × log 0 zero; it would be NaN.
    entropy = -(logprobs.clamp(min=torch.finfo(scores.dtype).min) * logprobs.softmax(dim=0)).sum()
    return torch.min(epsilon, epsilon.sqrt() * torch.exp(-entropy))
