"""Beam search over one window: which beams go on, which texts are finished, and when that is enough.

Its order of operations is that of transformers' `GenerationMixin._beam_search` (5.23), so that texts are the
same. Knows token ids and scores; knows no tensors and no slots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

CANDIDATES_PER_BEAM = 2  # One may be eot; so there are always enough that go on.


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamRules:
    """Names and meanings are transformers'; patience is that of Kasai et al. 2022, as in openai/whisper.

    patience: the search keeps num_beams × patience finished texts, and may end once it has so many.
    temperature: divides the logits that beams are ranked by.
    """

    num_beams: int
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    patience: float = 1.0
    temperature: float = 1.0

    @property
    def n_candidates(self) -> int:
        """How many candidates `BeamSearch.advance` looks at."""
        return CANDIDATES_PER_BEAM * self.num_beams

    @property
    def n_wanted(self) -> int:
        """Finished texts that are kept."""
        return max(1, round(self.num_beams * self.patience))


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
    """The state of one search. `beams` has always num_beams texts; one of score -inf is only a place-holder."""

    def __init__(self, rules: BeamRules, *, max_new_tokens: int) -> None:
        self.rules = rules
        self._max_new_tokens = max_new_tokens
        nothing = Hypothesis(score=-math.inf)
        # All begin alike, so that only the first one's candidates may count.
        self.beams = [Hypothesis(score=0.0), *[nothing] * (rules.num_beams - 1)]
        self.finished: list[Hypothesis] = []
        """The best so far, in descending order."""
        self.is_finished = False

    @property
    def best(self) -> Hypothesis:
        """The best finished text; while there is none, the best beam."""
        return self.finished[0] if self.finished else max(self.beams, key=lambda beam: beam.score)

    def advance(self, candidates: Sequence[Candidate], *, eot: int) -> list[int]:
        """Go on with the best candidates; return which beam each beam now continues.

        candidates: of all beams together the n_candidates best, in descending order, or as many as are
        possible at all. A beam that goes on keeps its place.
        """
        n_tokens = 1 + max(len(beam.tokens) for beam in self.beams)
        is_full = n_tokens >= self._max_new_tokens
        for candidate in candidates[: self.rules.num_beams]:
            # What ends only further down would be worse than every beam that goes on.
            if is_full or candidate.token == eot:
                self._finish(candidate, n_tokens=n_tokens, eot=eot)
        going_on = [candidate for candidate in candidates if candidate.token != eot and not is_full]
        if not going_on:
            self.is_finished = True
            return list(range(self.rules.num_beams))
        parents = self._continue(going_on[: self.rules.num_beams])
        self.is_finished = self._is_enough(n_tokens)
        return parents

    def _finish(self, candidate: Candidate, *, n_tokens: int, eot: int) -> None:
        extended = self._extend(candidate)
        tokens = extended.tokens[:-1] if candidate.token == eot else extended.tokens
        score = candidate.score / float(n_tokens) ** self.rules.length_penalty
        self.finished.append(Hypothesis(score=score, tokens=tokens, logprobs=extended.logprobs))
        self.finished.sort(key=lambda hypothesis: hypothesis.score, reverse=True)
        del self.finished[self.rules.n_wanted :]

    def _continue(self, chosen: Sequence[Candidate]) -> list[int]:
        places: list[Candidate | None] = [None] * self.rules.num_beams
        others = []
        for candidate in chosen:
            if places[candidate.beam] is None:
                places[candidate.beam] = candidate
            else:
                others.append(candidate)
        parents = list(range(self.rules.num_beams))
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

    def _is_enough(self, n_tokens: int) -> bool:
        """Say whether there are as many finished texts as wanted, and no beam is likely to become a better one.

        Unless it stops early, the search guesses the best beam's score at its present length; "never" at the
        length that is best for it.
        """
        if len(self.finished) < self.rules.n_wanted:
            return False
        if self.rules.early_stopping is True:
            return True
        penalty = self.rules.length_penalty
        is_patient = self.rules.early_stopping == "never" and penalty > 0
        length = self._max_new_tokens if is_patient else n_tokens
        best_possible: float = max(beam.score for beam in self.beams) / float(length) ** penalty
        return best_possible <= self.finished[-1].score
