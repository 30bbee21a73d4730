"""One step of all searches in a batch: from logits to candidates, and from beams to the rows that they continue.

Knows the rows of a batch and their logits and features. Does not know slots or KV caches.
"""

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
    """The features of every token in each contrastive search, which new candidates are compared with.

    Features are the decoder's last hidden states, from which logits are computed. They are dropped together with
    their search.
    """

    def __init__(self, norm: Callable[[Tensor], Tensor] = lambda features: features) -> None:
        """norm: what features are still to go through."""
        self._norm = norm
        self._features: WeakKeyDictionary[ContrastiveSearch, Tensor] = WeakKeyDictionary()
        """Unit vectors, shape = (n_tokens, d_model), for each search."""

    def __len__(self) -> int:
        """Return the number of searches with features."""
        return len(self._features)

    def remember(self, states: Sequence[DecodingState], features: Tensor) -> None:
        """Add the features of a prompt, or of a part of it. features: shape = (n_states, n_tokens, d_model)."""
        for state, of_state in zip(states, features, strict=True):
            if isinstance(state.search, ContrastiveSearch):
                self._extend(state.search, _normalized(self._norm(of_state)))

    def choose(self, states: Sequence[DecodingState], features: Tensor, *, eot: int) -> None:
        """Let each contrastive search choose one of its candidates.

        features: those of each state's last token, shape = (n_states, d_model).
        """
        rows: dict[ContrastiveSearch, list[int]] = {}
        for row, state in enumerate(states):
            if isinstance(state.search, ContrastiveSearch):
                rows.setdefault(state.search, []).append(row)
        for search, search_rows in rows.items():
            candidates = _normalized(self._norm(features[search_rows]))
            penalties = (candidates @ self._features[search].t()).amax(dim=1)
            chosen = search.choose(penalties.tolist(), eot=eot)
            self._extend(search, candidates[chosen : chosen + 1])

    def _extend(self, search: ContrastiveSearch, features: Tensor) -> None:
        earlier = self._features.get(search)
        self._features[search] = features if earlier is None else torch.cat([earlier, features])


def _normalized(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)


Filter = Callable[[Tensor, Sequence[DecodingState]], None]
"""Applies all logit filters in place, to logits of shape = (n_rows, n_vocab) and the states of the rows."""


class SearchStep:
    """One step of a batch: begun before the logits are filtered, advanced after.

    Beams are ranked by log-probabilities among all tokens, which logit filters then change or forbid, as in
    transformers. A token's reported log-probability is that among the allowed tokens, as without beams.
    """

    def __init__(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        """Turn the rows of beams into log-probabilities, in place.

        logits: float32, shape = (n_rows, n_vocab). states: one for each row. With a `beam_temperature`, the rows
        become log-probabilities at that temperature times the temperature, so that their differences remain those
        of the logits.
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
            self._normalize(logits)
        self._unfiltered = {
            search: logits[rows].clone() for search, rows in self._beams.items() if len(search.groups) > 1
        }

    def others(self, logits: Tensor) -> tuple[Sequence[DecodingState], Tensor]:
        """Return the states that belong to no search, and their logits."""
        if not self._beams and not self._contrasts:
            return self._states, logits
        rows = [row for row, state in enumerate(self._states) if state.search is None]
        return [self._states[row] for row in rows], logits[rows]

    def advance(
        self, logits: Tensor, *, eot: int, filter_again: Filter = lambda logits, states: None
    ) -> dict[int, int]:
        """Add a token to every beam and candidate. logits: the same rows, filtered.

        filter_again: the filters, for groups of beams: their logits change once earlier groups have chosen.
        Returns the source of each row that now continues the tokens of another row.
        """
        sources: dict[int, int] = {}
        for beams, rows in self._beams.items():
            sources |= self._advance_beams(beams, rows, logits, eot=eot, filter_again=filter_again)
        for contrast, rows in self._contrasts.items():
            sources |= self._advance_contrast(contrast, rows, logits)
        return sources

    def _normalize(self, logits: Tensor) -> None:
        offsets = logits.new_zeros(len(self._states), 1)
        for search, rows in self._beams.items():
            temperature = search.options.beam_temperature
            offsets[rows] = logsumexp(_divided(logits[rows], temperature)) * temperature
        logits.sub_(offsets)

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
        chosen: list[int] = []  # the tokens of earlier groups in this step
        first = 0
        for group in search.groups:
            group_beams = slice(first, first + len(group.beams))
            first += len(group.beams)
            if group.is_finished:
                # transformers fills finished groups with eot, which later groups are penalised for.
                chosen += [eot] * len(group.beams)
                continue
            group_rows = rows[group_beams]
            filtered = unpenalised = logits[group_rows]
            if chosen:
                filtered = self._penalised(search, group_beams, chosen)
                filter_again(filtered, [self._states[row] for row in group_rows])
                unpenalised = self._unfiltered[search][group_beams].masked_fill(filtered == -torch.inf, -torch.inf)
            candidates = _candidates(group, filtered, unpenalised)
            parents = group.advance(candidates, eot=eot)
            chosen += [beam.tokens[-1] for beam in group.beams if beam.tokens]
            sources |= {row: group_rows[parent] for row, parent in zip(group_rows, parents, strict=True)}
        if search.is_finished:
            for row in rows:
                self._states[row].conclude(search.best)
            return {}
        for row, beam in zip(rows, search.beams, strict=True):
            self._states[row].follow(beam)
        return {row: source for row, source in sources.items() if row != source}

    def _penalised(self, search: BeamSearch | DiverseSearch, beams: slice, chosen: Sequence[int]) -> Tensor:
        """Return a group's unfiltered logits less the diversity penalty for tokens of earlier groups."""
        unfiltered = self._unfiltered[search][beams]
        counts = torch.bincount(torch.tensor(chosen, device=unfiltered.device), minlength=unfiltered.shape[1])
        # The penalty is one of scores, which are these logits divided by the temperature.
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
        # After the prompt, nothing is chosen yet and all rows are equal.
        return {} if search.chosen is None else {row: source for row in rows if row != source}


def _divided(logits: Tensor, temperature: float) -> Tensor:
    return logits if temperature == 1 else logits / temperature


def _candidates(search: BeamSearch, logits: Tensor, unpenalised: Tensor) -> list[Candidate]:
    """Return the best candidates of a search, best first.

    logits: those of its beams, filtered, shape = (n_beams, n_vocab). unpenalised: the same without the diversity
    penalty.
    """
    n_kept = min(search.n_candidates, logits.shape[1])
    best, tokens = logits.topk(n_kept, dim=1)
    scores = best / search.options.beam_temperature
    logprobs = unpenalised.gather(1, tokens) - logsumexp(unpenalised)
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
    """Return the likeliest allowed tokens. logits: after the last chosen token, filtered, shape = (n_vocab,)."""
    logprobs, tokens = logits.log_softmax(dim=0).topk(min(search.options.top_k, len(logits)))
    return [
        Proposal(token=token, probability=probability, logprob=logprob)
        for token, probability, logprob in zip(
            tokens.tolist(), logprobs.exp().tolist(), logprobs.tolist(), strict=True
        )
        if logprob > -torch.inf
    ]
