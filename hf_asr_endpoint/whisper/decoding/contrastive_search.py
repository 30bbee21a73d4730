"""Contrastive search over one window: of the likeliest tokens, the one that is least like what has been said.

Su et al. 2022, arXiv 2202.06417, in the order of operations of transformers 4.55 (`_contrastive_search`). Each
candidate is fed to the model, for what it makes of it is what is compared. Knows token ids and numbers; knows
no tensors and no slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_asr_endpoint.types import ContrastiveOptions
from hf_asr_endpoint.whisper.decoding.beam_search import Hypothesis


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A token that may come next, with its probability among those that are allowed."""

    token: int
    probability: float
    logprob: float


class ContrastiveSearch:
    """The state of one search. `choose` and `propose` take turns, beginning with `propose`."""

    def __init__(self, options: ContrastiveOptions, *, max_new_tokens: int) -> None:
        self.options = options
        self._max_new_tokens = max_new_tokens
        self._proposals: tuple[Proposal, ...] = ()
        self.chosen: int | None = None
        """Which of the last proposals has been taken."""
        self.best = Hypothesis(score=0.0)
        """The text so far."""
        self.is_finished = False

    @property
    def candidates(self) -> list[Hypothesis]:
        """The text so far with each proposal; when there are fewer than top_k, the first one again."""
        texts = [self._extended(proposal) for proposal in self._proposals]
        return texts + texts[:1] * (self.options.top_k - len(texts))

    def propose(self, proposals: Sequence[Proposal]) -> None:
        """Take what may come next: one at least, and top_k at most."""
        self._proposals = tuple(proposals)

    def choose(self, degeneration_penalties: Sequence[float], *, eot: int) -> int:
        """Take one of the proposals, and return which.

        degeneration_penalties: of each candidate, the greatest cosine similarity to anything before it, -1 to 1.
        """
        alpha = self.options.penalty_alpha
        scores = [
            (1 - alpha) * proposal.probability - alpha * degeneration_penalty
            for proposal, degeneration_penalty in zip(self._proposals, degeneration_penalties, strict=False)
        ]
        self.chosen = max(range(len(scores)), key=scores.__getitem__)
        taken = self._proposals[self.chosen]
        text = self._extended(taken)
        is_end = taken.token == eot
        self.best = Hypothesis(
            score=0.0, tokens=text.tokens[:-1] if is_end else text.tokens, logprobs=text.logprobs
        )
        self.is_finished = is_end or len(self.best.tokens) >= self._max_new_tokens
        return self.chosen

    def _extended(self, proposal: Proposal) -> Hypothesis:
        return Hypothesis(
            score=0.0,
            tokens=(*self.best.tokens, proposal.token),
            logprobs=(*self.best.logprobs, proposal.logprob),
        )
