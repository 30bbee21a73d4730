"""Beam search over one window: which beams go on, which texts are finished, and when that is enough.

Its order of operations is that of transformers' `GenerationMixin._beam_search` (5.23), so that texts are the
same. Beams may be searched with in groups that are kept from saying the same: diverse beam search (Vijayakumar
et al. 2016, arXiv 1610.02424), as transformers 4.55 had it (`_group_beam_search`, `BeamSearchScorer`). Knows
token ids and scores; knows no tensors and no slots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hf_asr_endpoint.types import BeamOptions

CANDIDATES_PER_BEAM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A token that may follow a beam. score: the beam's with the token's. logprob: what is told of the token."""

    beam: int
    token: int
    score: float
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A text, under way or finished.

    score: the sum of its tokens' scores, and once it is finished, over its length to the power of the penalty.
    logprobs: of its tokens, and of eot when it has come.
    """

    score: float
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


class BeamSearch:
    """The state of one search, or of one group's. `beams` has always num_beams texts.

    One of score -inf is only a place-holder.
    """

    def __init__(self, options: BeamOptions, *, max_new_tokens: int, is_group: bool = False) -> None:
        """is_group: whether it ends as transformers' groups do, by an older rule; `options` are the group's."""
        self.options = options
        self._max_new_tokens = max_new_tokens
        self._is_group = is_group
        nothing = Hypothesis(score=-math.inf)
        # All begin alike, so that only the first one's candidates may count.
        self.beams = [Hypothesis(score=0.0), *[nothing] * (options.num_beams - 1)]
        self.finished: list[Hypothesis] = []
        """The best so far, in descending order."""
        self.is_finished = False

    @property
    def n_candidates(self) -> int:
        """How many candidates `advance` takes: one of a beam's may be eot, so there are always enough to go on."""
        return CANDIDATES_PER_BEAM * self.options.num_beams

    @property
    def max_finished(self) -> int:
        """How many finished beams are kept."""
        return max(1, round(self.options.num_beams * self.options.patience))

    @property
    def groups(self) -> tuple[BeamSearch, ...]:
        """Itself alone."""
        return (self,)

    @property
    def best(self) -> Hypothesis:
        """The best finished text; while there is none, the best beam."""
        return self.finished[0] if self.finished else max(self.beams, key=lambda beam: beam.score)

    def advance(self, candidates: Sequence[Candidate], *, eot: int) -> list[int]:
        """Go on with the best candidates; return which beam each beam now continues.

        candidates: of all beams together the `n_candidates` best, in descending order, or as many as are
        possible at all. A beam that goes on keeps its place.
        """
        n_tokens = 1 + max(len(beam.tokens) for beam in self.beams)
        is_full = n_tokens >= self._max_new_tokens
        ends_here = is_full and not self._is_group
        for candidate in candidates[: self.options.num_beams]:
            # What ends only further down would be worse than every beam that goes on.
            if ends_here or candidate.token == eot:
                extended = self._extend(candidate)
                tokens = extended.tokens[:-1] if candidate.token == eot else extended.tokens
                self._finish(replace(extended, tokens=tokens), n_tokens=n_tokens)
        going_on = [candidate for candidate in candidates if candidate.token != eot and not ends_here]
        if not going_on:
            self.is_finished = True
            return list(range(self.options.num_beams))
        parents = self._continue(going_on[: self.options.num_beams])
        # A group looks at what ends here too, and so may go on for longer.
        likeliest = candidates[0].score if self._is_group else max(beam.score for beam in self.beams)
        self.is_finished = self._is_enough(likeliest, n_tokens=n_tokens)
        if is_full and not self.is_finished:
            for beam in self.beams:
                self._finish(beam, n_tokens=n_tokens)
            self.is_finished = True
        return parents

    def _finish(self, text: Hypothesis, *, n_tokens: int) -> None:
        """n_tokens: eot included, where it has come."""
        self.finished.append(replace(text, score=text.score / float(n_tokens) ** self.options.length_penalty))
        self.finished.sort(key=lambda hypothesis: hypothesis.score, reverse=True)
        del self.finished[self.max_finished :]

    def _continue(self, chosen: Sequence[Candidate]) -> list[int]:
        places: list[Candidate | None] = [None] * self.options.num_beams
        others = []
        for candidate in chosen:
            if places[candidate.beam] is None:
                places[candidate.beam] = candidate
            else:
                others.append(candidate)
        parents = list(range(self.options.num_beams))
        beams = list(self.beams)
        # Fewer tokens may be possible than there are beams.
        others += [replace(chosen[0], score=-math.inf)] * (len(places) - len(chosen))
        for place, stays in enumerate(places):
            candidate = stays or others.pop(0)
            parents[place] = candidate.beam
            beams[place] = self._extend(candidate)
        self.beams = beams
        return parents

    def _extend(self, candidate: Candidate) -> Hypothesis:
        beam = self.beams[candidate.beam]
        return Hypothesis(
            score=candidate.score,
            tokens=(*beam.tokens, candidate.token),
            logprobs=(*beam.logprobs, candidate.logprob),
        )

    def _is_enough(self, likeliest: float, *, n_tokens: int) -> bool:
        """Say whether there are as many finished texts as wanted, and no beam is likely to become a better one.

        likeliest: the score of the beam to be beaten. Unless it stops early, the search guesses its score at the
        present length; "never" at the length that is best for it.
        """
        if len(self.finished) < self.max_finished:
            return False
        if self.options.early_stopping is True:
            return True
        penalty = self.options.length_penalty
        is_patient = self.options.early_stopping == "never" and penalty > 0
        length = self._max_new_tokens if is_patient else n_tokens
        best_possible: float = likeliest / float(length) ** penalty
        return best_possible <= self.finished[-1].score


class DiverseSearch:
    """The state of one search whose beams are in groups: each avoids what those before it say in the same step."""

    def __init__(self, options: BeamOptions, *, max_new_tokens: int) -> None:
        self.options = options
        size = options.num_beams // options.num_beam_groups
        of_group = replace(options, num_beams=size, num_beam_groups=1)
        self.groups = tuple(
            BeamSearch(of_group, max_new_tokens=max_new_tokens, is_group=True)
            for _ in range(options.num_beam_groups)
        )

    @property
    def beams(self) -> list[Hypothesis]:
        """The first group's, then the second's …"""
        return [beam for group in self.groups for beam in group.beams]

    @property
    def best(self) -> Hypothesis:
        """The best text of any group. Scores are what penalties have left of them."""
        return max((group.best for group in self.groups), key=lambda hypothesis: hypothesis.score)

    @property
    def is_finished(self) -> bool:
        return all(group.is_finished for group in self.groups)
