"""Beam search over one window: which beams continue, which hypotheses are finished, and when the search ends.

The order of operations is that of transformers' `GenerationMixin._beam_search` (5.23), so that texts are equal.
Beams can be searched in groups that avoid repeating each other: diverse beam search (Vijayakumar et al. 2016,
arXiv 1610.02424), as in transformers 4.55 (`_group_beam_search`, `BeamSearchScorer`). Knows token ids and scores;
does not know tensors or slots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hf_asr_endpoint.decoding_options import BeamOptions

CANDIDATES_PER_BEAM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A token that may extend a beam.

    score: the beam's score plus the token's. logprob: the token's log-probability among the allowed tokens.
    """

    beam: int
    token: int
    score: float
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A text, unfinished (a beam) or finished.

    score: the sum of its tokens' scores; once finished, divided by its length to the power of `length_penalty`.
    logprobs: one for each token, and one for eot if it ended with that.
    """

    score: float
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


class BeamSearch:
    """The state of one search, or of one group of a diverse search.

    `beams` always holds num_beams hypotheses; those with a score of -inf are placeholders.
    """

    def __init__(self, options: BeamOptions, *, max_new_tokens: int, is_group: bool = False) -> None:
        """is_group: end by the older rule of transformers' beam groups. `options` are then those of the group."""
        self.options = options
        self._max_new_tokens = max_new_tokens
        self._is_group = is_group
        placeholder = Hypothesis(score=-math.inf)
        # All beams start with the same logits, so only the first beam's candidates may count.
        self.beams = [Hypothesis(score=0.0), *[placeholder] * (options.num_beams - 1)]
        self.finished: list[Hypothesis] = []
        """The best `max_finished` so far, best first."""
        self.is_finished = False

    @property
    def n_candidates(self) -> int:
        """The candidates that `advance` needs. At most one of a beam's is eot, so enough others remain."""
        return CANDIDATES_PER_BEAM * self.options.num_beams

    @property
    def max_finished(self) -> int:
        """The number of finished hypotheses to keep."""
        return max(1, round(self.options.num_beams * self.options.patience))

    @property
    def groups(self) -> tuple[BeamSearch, ...]:
        """This search, as the only group."""
        return (self,)

    @property
    def best(self) -> Hypothesis:
        """The best finished hypothesis; the best beam if none is finished."""
        return self.finished[0] if self.finished else max(self.beams, key=lambda beam: beam.score)

    def advance(self, candidates: Sequence[Candidate], *, eot: int) -> list[int]:
        """Continue with the best candidates. Return, for each new beam, the index of the beam that it extends.

        candidates: the `n_candidates` best of all beams, best first; fewer if the filters allow fewer tokens.
        A beam that is extended keeps its index.
        """
        n_tokens = 1 + max(len(beam.tokens) for beam in self.beams)
        is_full = n_tokens >= self._max_new_tokens
        ends_here = is_full and not self._is_group
        for candidate in candidates[: self.options.num_beams]:
            # An eot with a lower rank would be worse than every beam that continues.
            if ends_here or candidate.token == eot:
                extended = self._extend(candidate)
                tokens = extended.tokens[:-1] if candidate.token == eot else extended.tokens
                self._finish(replace(extended, tokens=tokens), n_tokens=n_tokens)
        continuing = [candidate for candidate in candidates if candidate.token != eot and not ends_here]
        if not continuing:
            self.is_finished = True
            return list(range(self.options.num_beams))
        parents = self._continue(continuing[: self.options.num_beams])
        # A group compares with its best candidate even if that is eot, and so may search longer.
        best_score = candidates[0].score if self._is_group else max(beam.score for beam in self.beams)
        self.is_finished = self._cannot_improve(best_score, n_tokens=n_tokens)
        if is_full and not self.is_finished:
            for beam in self.beams:
                self._finish(beam, n_tokens=n_tokens)
            self.is_finished = True
        return parents

    def _finish(self, hypothesis: Hypothesis, *, n_tokens: int) -> None:
        """n_tokens: the length that the score is divided by; includes eot."""
        score = hypothesis.score / float(n_tokens) ** self.options.length_penalty
        self.finished.append(replace(hypothesis, score=score))
        self.finished.sort(key=lambda finished: finished.score, reverse=True)
        del self.finished[self.max_finished :]

    def _continue(self, chosen: Sequence[Candidate]) -> list[int]:
        """Replace the beams by the chosen candidates. The best candidate of each beam keeps the beam's index."""
        by_index: list[Candidate | None] = [None] * self.options.num_beams
        others = []
        for candidate in chosen:
            if by_index[candidate.beam] is None:
                by_index[candidate.beam] = candidate
            else:
                others.append(candidate)
        parents = list(range(self.options.num_beams))
        beams = list(self.beams)
        # The filters may allow fewer tokens than there are beams. Placeholders fill the rest.
        others += [replace(chosen[0], score=-math.inf)] * (len(by_index) - len(chosen))
        for index, own in enumerate(by_index):
            candidate = own or others.pop(0)
            parents[index] = candidate.beam
            beams[index] = self._extend(candidate)
        self.beams = beams
        return parents

    def _extend(self, candidate: Candidate) -> Hypothesis:
        beam = self.beams[candidate.beam]
        return Hypothesis(
            score=candidate.score,
            tokens=(*beam.tokens, candidate.token),
            logprobs=(*beam.logprobs, candidate.logprob),
        )

    def _cannot_improve(self, best_score: float, *, n_tokens: int) -> bool:
        """Return whether enough hypotheses are finished and no beam is likely to become a better one.

        best_score: the score of the best beam. It is divided by the length penalty at the current length, or with
        `early_stopping` "never" at the length that favours it most.
        """
        if len(self.finished) < self.max_finished:
            return False
        if self.options.early_stopping is True:
            return True
        penalty = self.options.length_penalty
        favours_longest = self.options.early_stopping == "never" and penalty > 0
        length = self._max_new_tokens if favours_longest else n_tokens
        best_possible: float = best_score / float(length) ** penalty
        return best_possible <= self.finished[-1].score


class DiverseSearch:
    """The state of one search with groups of beams; each group avoids the tokens of earlier groups."""

    def __init__(self, options: BeamOptions, *, max_new_tokens: int) -> None:
        self.options = options
        size = options.num_beams // options.num_beam_groups
        group_options = replace(options, num_beams=size, num_beam_groups=1)
        self.groups = tuple(
            BeamSearch(group_options, max_new_tokens=max_new_tokens, is_group=True)
            for _ in range(options.num_beam_groups)
        )

    @property
    def beams(self) -> list[Hypothesis]:
        """The beams of all groups, in the order of the groups."""
        return [beam for group in self.groups for beam in group.beams]

    @property
    def best(self) -> Hypothesis:
        """The hypothesis with the best score in any group. Scores include diversity penalties."""
        return max((group.best for group in self.groups), key=lambda hypothesis: hypothesis.score)

    @property
    def is_finished(self) -> bool:
        return all(group.is_finished for group in self.groups)
