"""The filters of sampling: which tokens are left to choose from.

They are transformers' own, in its own order (`GenerationMixin._get_logits_processor`), which tests compare; each
leaves at least one token. Importing them from there would take half a second at each start.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.decoding_state import SamplingFilters


def filter_scores(scores: Tensor, filters: SamplingFilters) -> Tensor:
    """Return scores with -inf for what may not be sampled. scores: over the temperature, shape = (n_vocab,)."""
    if filters.top_k:
        scores = _without(scores, _beyond_top_k(scores, filters.top_k))
    if filters.top_p is not None and filters.top_p < 1:
        scores = _without(scores, _beyond_top_p(scores, filters.top_p))
    if filters.typical_p is not None and filters.typical_p < 1:
        scores = _without(scores, _beyond_typical_p(scores, filters.typical_p))
    if filters.epsilon_cutoff:
        scores = _without(scores, _below(scores, torch.tensor(filters.epsilon_cutoff, device=scores.device)))
    if filters.eta_cutoff:
        scores = _without(scores, _below(scores, _eta(scores, filters.eta_cutoff)))
    return scores


def _without(scores: Tensor, removed: Tensor) -> Tensor:
    return scores.masked_fill(removed, -math.inf)


def _beyond_top_k(scores: Tensor, top_k: int) -> Tensor:
    """Those of the k likeliest are kept, and what is as likely as the last of them."""
    return scores < torch.topk(scores, min(top_k, len(scores))).values[-1]


def _beyond_top_p(scores: Tensor, top_p: float) -> Tensor:
    """The likeliest are kept that have this probability together (Holtzman et al. 2020, arXiv 1904.09751)."""
    ascending, order = torch.sort(scores)
    removed = ascending.softmax(dim=0).cumsum(dim=0) <= 1 - top_p
    removed[-1] = False
    return torch.empty_like(removed).scatter_(0, order, removed)


def _beyond_typical_p(scores: Tensor, typical_p: float) -> Tensor:
    """Those are kept whose information is nearest to what is expected (Meister et al. 2023, arXiv 2202.00666)."""
    logprobs = scores.log_softmax(dim=0)
    entropy = -(logprobs * logprobs.exp()).nansum()
    distances, order = torch.sort((-logprobs - entropy).abs())
    reached = scores[order].softmax(dim=0).cumsum(dim=0)
    last = min(int((reached < typical_p).sum()), len(scores) - 1)
    return torch.empty_like(order, dtype=torch.bool).scatter_(0, order, distances > distances[last])


def _below(scores: Tensor, probability: Tensor) -> Tensor:
    """The likeliest is kept in any case."""
    return (scores.softmax(dim=0) < probability) & (scores < scores.max())


def _eta(scores: Tensor, cutoff: float) -> Tensor:
    """Return the least probability, which depends on the entropy (Hewitt et al. 2022, arXiv 2210.15191)."""
    epsilon = torch.tensor(cutoff, device=scores.device)
    logprobs = scores - scores.logsumexp(dim=0)
    # A probability of 0 times the logarithm of that, which is -inf, is none.
    entropy = -(logprobs.clamp(min=torch.finfo(scores.dtype).min) * logprobs.softmax(dim=0)).sum()
    return torch.min(epsilon, epsilon.sqrt() * torch.exp(-entropy))
