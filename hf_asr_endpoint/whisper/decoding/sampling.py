"""The filters of sampling: which tokens are left to choose from.

They are transformers' own, in its own order (`GenerationMixin._get_logits_processor`), which tests compare; each
leaves at least one token. Importing them from there would take half a second at each start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.types import SamplingFilters
from hf_asr_endpoint.whisper.decoding.state import DecodingState

NO_FILTERS = SamplingFilters()


def logsumexp(logits: Tensor) -> Tensor:
    """Return what logits are to be diminished by to be log-probabilities, shape = (n_rows, 1).

    logits: float32, shape = (n_rows, n_vocab), not all of a row -inf. As `torch.logsumexp`, which takes longer on
    the CPU, most of all where some are -inf.
    """
    likeliest = torch.log_softmax(logits, dim=1).amax(dim=1, keepdim=True)
    return logits.amax(dim=1, keepdim=True).sub_(likeliest)


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
    scores, filters = logits / state.rules.temperature, state.rules.options.filters
    if filters != NO_FILTERS:
        scores = filter_scores(scores, filters)
    reached = torch.cumsum(torch.softmax(scores.double(), dim=0), dim=0)
    point = state.random.random() * float(reached[-1])
    return min(int(torch.searchsorted(reached, point, right=True)), len(logits) - 1)


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
