"""One step of all beam searches in a batch: logits to candidates, and beams to the rows that they continue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.beam_search import BeamSearch, Candidate
from hf_asr_endpoint.whisper.decoding_state import DecodingState


class SearchStep:
    """Made before the logits are filtered, since beams are ranked by the probabilities among all tokens.

    So does transformers; what is told of a token is its probability among those that were allowed, as
    everywhere else. logits: float32, shape = (n_rows, n_vocab). states: of the rows.
    """

    def __init__(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        self._states = states
        self._rows: dict[BeamSearch, list[int]] = {}
        for row, state in enumerate(states):
            if state.search is not None:
                self._rows.setdefault(state.search, []).append(row)
        self._totals = {
            search: (logits[rows] / search.rules.temperature).logsumexp(dim=1, keepdim=True)
            for search, rows in self._rows.items()
        }

    def others(self, logits: Tensor) -> tuple[Sequence[DecodingState], Tensor]:
        """Return the states that are no beams, with their logits."""
        if not self._rows:
            return self._states, logits
        rows = [row for row, state in enumerate(self._states) if state.search is None]
        return [self._states[row] for row in rows], logits[rows]

    def advance(self, logits: Tensor, *, eot: int) -> dict[int, int]:
        """Take the searches a token further. logits: the same rows, filtered.

        Returns which row each row now continues, of those that continue another one than before.
        """
        sources: dict[int, int] = {}
        for search, rows in self._rows.items():
            candidates = _candidates(search, logits[rows], self._totals[search])
            parents = search.advance(candidates, eot=eot)
            for row, parent, beam in zip(rows, parents, search.beams, strict=True):
                if search.is_finished:
                    self._states[row].conclude(search.best)
                    continue
                self._states[row].follow(beam)
                if rows[parent] != row:
                    sources[row] = rows[parent]
        return sources


def _candidates(search: BeamSearch, logits: Tensor, totals: Tensor) -> list[Candidate]:
    """Return a search's best candidates, in descending order. totals: logsumexp of its logits before filtering.

    logits: of its beams, filtered, shape = (n_beams, n_vocab).
    """
    n_kept = min(search.rules.n_candidates, logits.shape[1])
    best, tokens = logits.topk(n_kept, dim=1)
    scores = best / search.rules.temperature - totals
    logprobs = best - logits.logsumexp(dim=1, keepdim=True)
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
