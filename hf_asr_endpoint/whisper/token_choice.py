"""The host's choice of tokens from a batch's logits: rules, samples, searches, and beams that change slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from hf_asr_endpoint.whisper.decoding.logit_filters import TokenRules
from hf_asr_endpoint.whisper.decoding.sampling import choose_tokens
from hf_asr_endpoint.whisper.decoding.search_step import SearchStep
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.kv_cache.self_kv import SelfKVCache


class TokenChoice:
    """Appends tokens to states, and lets beams that continue another slot's beam take over its cache."""

    def __init__(self, rules: TokenRules, self_kv: SelfKVCache) -> None:
        self._rules, self._self_kv = rules, self_kv

    def choose(self, logits: Tensor, slots: Sequence[int], states: Mapping[int, DecodingState]) -> None:
        """Append a token to each state. logits: in the order of the slots, shape = (n_slots, n_vocab).

        slots: ascending.
        """
        rows = [states[slot] for slot in slots]
        searches = SearchStep(logits, rows)
        self._rules.filter(logits, rows)
        sampled, sampled_logits = searches.others(logits)
        for state, (token, logprob) in zip(sampled, choose_tokens(sampled_logits, sampled), strict=True):
            state.append(token, logprob, eot=self._rules.eot)
        if sources := searches.advance(logits, eot=self._rules.eot, filter_again=self._rules.filter):
            moved = {slots[row]: slots[source] for row, source in sources.items()}
            n_tokens = max(len(states[slot].prompt.tokens) + len(states[slot].sampled) for slot in moved)
            self._self_kv.copy(moved, n_tokens=n_tokens - 1)
