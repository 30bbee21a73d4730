"""How like one another the model finds what it has said and what it might say: for contrastive search."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.contrastive_search import ContrastiveSearch
from hf_asr_endpoint.whisper.decoding_state import DecodingState


class Likeness:
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
            likenesses = (candidates @ self._said[search].t()).amax(dim=1)
            chosen = search.choose(likenesses.tolist(), eot=eot)
            self._extend(search, candidates[chosen : chosen + 1])

    def _extend(self, search: ContrastiveSearch, features: Tensor) -> None:
        before = self._said.get(search)
        self._said[search] = features if before is None else torch.cat([before, features])


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)
