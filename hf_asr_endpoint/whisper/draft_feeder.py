"""Feeding drafts: several tokens of a text at once, those that it probably goes on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from hf_asr_endpoint.whisper.decoding.logit_filters import TokenRules
from hf_asr_endpoint.whisper.decoding.sampling import choose_tokens
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.model.decoder import BatchBuilder, DecoderPass


class DraftFeeder:
    """Takes the steps of texts whose next tokens are expected."""

    def __init__(
        self,
        decoder: DecoderPass,
        batches: BatchBuilder,
        *,
        rules: TokenRules,
        logits: Callable[[Tensor], Tensor],
    ) -> None:
        """logits: computes logits from features, shape = (n_rows, d_model)."""
        self._decoder, self._batches = decoder, batches
        self._rules, self._logits = rules, logits

    def feed(self, states: Mapping[int, DecodingState]) -> None:
        """Feed the last token and the expected ones to each slot. A state takes at least one token."""
        for slot, state in states.items():
            expected = state.expected
            n_cached = len(state.prompt.tokens) + len(state.sampled) - 1
            features = self._decoder(
                self._batches.build(slots=[slot], tokens=[[state.sampled[-1], *expected]], n_cached=[n_cached])
            )
            take_expected(self._logits(features[0]), expected, state, self._rules)


def take_expected(logits: Tensor, expected: Sequence[int], state: DecodingState, rules: TokenRules) -> None:
    """Append what a state's steps would have chosen: the expected tokens, up to the first one that differs.

    logits: before each expected token and after the last one, shape = (n_expected + 1, n_vocab); are changed.
    What the cache holds of tokens that are not taken is overwritten by the next steps.
    """
    for position, token_expected in enumerate([*expected, None]):
        row = logits[position : position + 1]
        rules.filter(row, [state])
        [(token, logprob)] = choose_tokens(row, [state])
        state.append(token, logprob, eot=rules.eot)
        if token != token_expected or state.is_finished:
            return
