"""One step of all searches in a batch: logits to candidates, and beams to the rows that they continue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.decoding.beam_search import BeamSearch, Candidate, DiverseSearch
from hf_asr_endpoint.whisper.decoding.contrastive_search import ContrastiveSearch, Proposal
from hf_asr_endpoint.whisper.decoding.sampling import logsumexp
from hf_asr_endpoint.whisper.decoding.state import DecodingState


class DegenerationPenalty:
    """Remembers, for as long as a contrastive search lives, the features of its prompt and of its text.

    They are the decoder's last ones, from which logits are made.
    """

    def __init__(self) -> None:
        self._said: WeakKeyDictionary[ContrastiveSearch, Tensor] = WeakKeyDictionary()  # (n_tokens, d_model), unit

    def __len__(self) -> int:
        """Return how many searches are remembered."""
        return len(self._said)

    def remember(self, states: Sequence[DecodingState], features: Tensor) -> None:
        """Take what prompts, or more of them, have been fed. features: shape = (n_states, n_tokens, d_model)."""
        for state, of_state in zip(states, features, strict=True):
            if isinstance(state.search, ContrastiveSearch):
                self._extend(state.search, _unit(of_state))

    def choose(self, states: Sequence[DecodingState], features: Tensor, *, eot: int) -> None:
        """Have each contrastive search take one of its candidates.

        features: of every state's last token, shape = (n_states, d_model).
        """
        rows: dict[ContrastiveSearch, list[int]] = {}
        for row, state in enumerate(states):
            if isinstance(state.search, ContrastiveSearch):
                rows.setdefault(state.search, []).append(row)
        for search, own in rows.items():
            candidates = _unit(features[own])
            degeneration_penalties = (candidates @ self._said[search].t()).amax(dim=1)
            chosen = search.choose(degeneration_penalties.tolist(), eot=eot)
            self._extend(search, candidates[chosen : chosen + 1])

    def _extend(self, search: ContrastiveSearch, features: Tensor) -> None:
        before = self._said.get(search)
        self._said[search] = features if before is None else torch.cat([before, features])


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)


Filter = Callable[[Tensor, Sequence[DecodingState]], None]
"""Sets what may not come next to -inf. Given logits, shape = (n_rows, n_vocab), and the rows' states."""


class SearchStep:
    """One step of a batch: begun before the logits are filtered, advanced after.

    Beams are ranked by log-probabilities among all tokens, which logit filters then change or forbid, as in
    transformers. A token's reported log-probability is that among the allowed tokens, as without beams.
    """

    def __init__(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        """Turn the rows of beams into log-probabilities, in place.

        logits: float32, shape = (n_rows, n_vocab). states: one for each row. With a `beam_temperature`, the rows
        become log-probabilities at that temperature times the temperature, so that filters see logits' units.
        """
        self._states = states
        self._beams: dict[BeamSearch | DiverseSearch, list[int]] = {}
        self._contrasts: dict[ContrastiveSearch, list[int]] = {}
        for row, state in enumerate(states):
            match state.search:
                case BeamSearch() | DiverseSearch() as search:
                    self._beams.setdefault(search, []).append(row)
                case ContrastiveSearch() as search:
                    self._contrasts.setdefault(search, []).append(row)
                case None:
                    pass
        if self._beams:
            offsets = logits.new_zeros(len(states), 1)
            for search, rows in self._beams.items():
                temperature = search.options.beam_temperature
                offsets[rows] = logsumexp(_over(logits[rows], temperature)) * temperature
            logits.sub_(offsets)
        self._unfiltered = {
            search: logits[rows].clone() for search, rows in self._beams.items() if len(search.groups) > 1
        }

    def others(self, logits: Tensor) -> tuple[Sequence[DecodingState], Tensor]:
        """Return the states that are of no search, with their logits."""
        if not self._beams and not self._contrasts:
            return self._states, logits
        rows = [row for row, state in enumerate(self._states) if state.search is None]
        return [self._states[row] for row in rows], logits[rows]

    def advance(
        self, logits: Tensor, *, eot: int, filter_again: Filter = lambda logits, states: None
    ) -> dict[int, int]:
        """Take the searches a token further. logits: the same rows, filtered.

        filter_again: how they were, for groups of beams whose logits change after the groups before have chosen.
        Returns which row each row now continues, of those that continue another one than before.
        """
        sources: dict[int, int] = {}
        for beams, rows in self._beams.items():
            sources |= self._advance_beams(beams, rows, logits, eot=eot, filter_again=filter_again)
        for contrast, rows in self._contrasts.items():
            sources |= self._advance_contrast(contrast, rows, logits)
        return sources

    def _advance_beams(
        self,
        search: BeamSearch | DiverseSearch,
        rows: Sequence[int],
        logits: Tensor,
        *,
        eot: int,
        filter_again: Filter,
    ) -> dict[int, int]:
        sources: dict[int, int] = {}
        said: list[int] = []  # in this step, by the groups that have chosen
        first = 0
        for group in search.groups:
            own = slice(first, first + len(group.beams))
            first += len(group.beams)
            if group.is_finished:
                # To the groups behind, a text that has ended goes on to say so, as in transformers.
                said += [eot] * len(group.beams)
                continue
            in_group = rows[own]
            filtered = likely = logits[in_group]
            if said:
                filtered = self._penalise(search, own, said)
                filter_again(filtered, [self._states[row] for row in in_group])
                likely = self._unfiltered[search][own].masked_fill(filtered == -torch.inf, -torch.inf)
            candidates = _candidates(group, filtered, likely)
            parents = group.advance(candidates, eot=eot)
            said += [beam.tokens[-1] for beam in group.beams if beam.tokens]
            sources |= {row: in_group[parent] for row, parent in zip(in_group, parents, strict=True)}
        if search.is_finished:
            for row in rows:
                self._states[row].conclude(search.best)
            return {}
        for row, beam in zip(rows, search.beams, strict=True):
            self._states[row].follow(beam)
        return {row: source for row, source in sources.items() if row != source}

    def _penalise(self, search: BeamSearch | DiverseSearch, own: slice, said: Sequence[int]) -> Tensor:
        """Return a group's logits, not yet filtered, less likely where other groups have said the same."""
        unfiltered = self._unfiltered[search][own]
        counts = torch.bincount(torch.tensor(said, device=unfiltered.device), minlength=unfiltered.shape[1])
        # Scores are logits over the temperature.
        return unfiltered - search.options.diversity_penalty * search.options.beam_temperature * counts

    def _advance_contrast(self, search: ContrastiveSearch, rows: Sequence[int], logits: Tensor) -> dict[int, int]:
        if search.is_finished:
            for row in rows:
                self._states[row].conclude(search.best)
            return {}
        source = rows[search.chosen or 0]
        search.propose(_proposals(search, logits[source]))
        for row, candidate in zip(rows, search.candidates, strict=True):
            self._states[row].follow(candidate)
        # After the prompt all rows are alike.
        return {} if search.chosen is None else {row: source for row in rows if row != source}


def _over(logits: Tensor, temperature: float) -> Tensor:
    return logits if temperature == 1 else logits / temperature


def _candidates(search: BeamSearch, logits: Tensor, likely: Tensor) -> list[Candidate]:
    """Return a search's best candidates, in descending order.

    logits: of its beams, filtered, shape = (n_beams, n_vocab). likely: the same without the diversity penalty.
    """
    n_kept = min(search.n_candidates, logits.shape[1])
    best, tokens = logits.topk(n_kept, dim=1)
    scores = best / search.options.beam_temperature
    logprobs = likely.gather(1, tokens) - logsumexp(likely)
    candidates = [
        Candidate(beam=index, token=token, score=beam.score + score, logprob=logprob)
        for index, (beam, *columns) in enumerate(
            zip(search.beams, tokens.tolist(), scores.tolist(), logprobs.tolist(), strict=True)
        )
        for token, score, logprob in zip(*columns, strict=True)
        if beam.score + score > -torch.inf
    ]
    candidates.sort(key=lambda candidate: candidate.score, reverse=True)
    return candidates[:n_kept]


def _proposals(search: ContrastiveSearch, logits: Tensor) -> list[Proposal]:
    """Return the likeliest tokens that are allowed. logits: after the text, filtered, shape = (n_vocab,)."""
    logprobs, tokens = logits.log_softmax(dim=0).topk(min(search.options.top_k, len(logits)))
    return [
        Proposal(token=token, probability=probability, logprob=logprob)
        for token, probability, logprob in zip(
            tokens.tolist(), logprobs.exp().tolist(), logprobs.tolist(), strict=True
        )
        if logprob > -torch.inf
    ]
