"""Contrastive search over one window: in each step, the best trade of a token's probability against repetition.

Su et al. 2022, arXiv 2202.06417, in the order of operations of transformers 4.55 (`_contrastive_search`). The
model is run on every candidate, because the candidate's features are compared with those of earlier tokens. Knows
token ids and numbers; does not know tensors or slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_asr_endpoint.decoding_options import ContrastiveOptions
from hf_asr_endpoint.whisper.decoding.beam_search import Hypothesis


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A token that may come next. probability, logprob: among the allowed tokens."""

    token: int
    probability: float
    logprob: float


class ContrastiveSearch:
    """The state of one search. `propose` and `choose` alternate, starting with `propose`."""

    def __init__(self, options: ContrastiveOptions, *, max_new_tokens: int) -> None:
        self.options = options
        self._max_new_tokens = max_new_tokens
        self._proposals: tuple[Proposal, ...] = ()
        self.chosen: int | None = None
        """The index of the last chosen proposal."""
        self.best = Hypothesis(score=0.0)
        """The tokens chosen so far."""
        self.is_finished = False

    @property
    def candidates(self) -> list[Hypothesis]:
        """The chosen tokens with each proposal; with fewer than top_k proposals, the first is repeated."""
        extended = [self._extend(proposal) for proposal in self._proposals]
        return extended + extended[:1] * (self.options.top_k - len(extended))

    def propose(self, proposals: Sequence[Proposal]) -> None:
        """Set the proposals for the next token, 1 to top_k."""
        self._proposals = tuple(proposals)

    def choose(self, degeneration_penalties: Sequence[float], *, eot: int) -> int:
        """Choose a proposal and return its index.

        degeneration_penalties: the highest cosine similarity of each candidate to any earlier token, -1 to 1.
        """
        alpha = self.options.penalty_alpha
        scores = [
            (1 - alpha) * proposal.probability - alpha * degeneration_penalty
            for proposal, degeneration_penalty in zip(self._proposals, degeneration_penalties, strict=False)
        ]
        self.chosen = max(range(len(scores)), key=scores.__getitem__)
        proposal = self._proposals[self.chosen]
        extended = self._extend(proposal)
        is_eot = proposal.token == eot
        tokens = extended.tokens[:-1] if is_eot else extended.tokens
        self.best = Hypothesis(score=0.0, tokens=tokens, logprobs=extended.logprobs)
        self.is_finished = is_eot or len(tokens) >= self._max_new_tokens
        return self.chosen

    def _extend(self, proposal: Proposal) -> Hypothesis:
        return Hypothesis(
            score=0.0,
            tokens=(*self.best.tokens, proposal.token),
            logprobs=(*self.best.logprobs, proposal.logprob),
        )
