"""Feeding the prompts of new texts in one pass each, all tokens at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.decoding.logit_filters import TokenRules
from hf_asr_endpoint.whisper.decoding.search_step import DegenerationPenalty
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.draft_feeder import take_expected
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossKVReader
from hf_asr_endpoint.whisper.kv_cache.self_kv import SelfKVCache
from hf_asr_endpoint.whisper.model.decoder import BatchBuilder, DecoderPass
from hf_asr_endpoint.whisper.token_choice import TokenChoice


class PromptFeeder:
    """Fills the self-attention cache and chooses each text's first token."""

    def __init__(
        self,
        decoder: DecoderPass,
        batches: BatchBuilder,
        *,
        self_kv: SelfKVCache,
        cross_kv: CrossKVReader,
        rules: TokenRules,
        choice: TokenChoice,
        degeneration_penalty: DegenerationPenalty,
        logits: Callable[[Tensor], Tensor],
    ) -> None:
        """logits: computes logits from features, shape = (n_rows, d_model)."""
        self._decoder, self._batches = decoder, batches
        self._self_kv, self._cross_kv = self_kv, cross_kv
        self._rules, self._choice = rules, choice
        self._degeneration_penalty = degeneration_penalty
        self._logits = logits

    def feed(self, states: Mapping[int, DecodingState]) -> None:
        """Feed the prompts of new states, by slot; choose each state's first token.

        States with the same window, prompt and search would compute the same. So only the first of them, their
        leader, is fed, and the others copy its cache.
        """
        leaders = self._leaders(states)
        fed = {slot: states[slot] for slot in leaders.values()}
        for slots in _groups_of_equal_length(fed):
            logits = self._feed_equally_long(slots, states)
            if states[slots[0]].prompt.fed_draft:
                for of_slot, slot in zip(logits, slots, strict=True):
                    take_expected(of_slot, states[slot].prompt.fed_draft, states[slot], self._rules)
                continue
            logits = logits[:, -1]
            rows = {slot: row for row, slot in enumerate(slots)}
            chosen_for = [slot for slot in sorted(states) if leaders[slot] in rows]
            if len(chosen_for) > len(slots):
                self._copy_prompts({slot: leaders[slot] for slot in chosen_for if leaders[slot] != slot}, states)
                logits = logits[[rows[leaders[slot]] for slot in chosen_for]]
            self._choice.choose(logits, chosen_for, states)

    def _leaders(self, states: Mapping[int, DecodingState]) -> dict[int, int]:
        """Return for each slot the first slot with the same window, prompt and search."""
        first: dict[Hashable, int] = {}
        return {
            slot: first.setdefault((self._cross_kv.window_id(slot), state.prompt, state.search), slot)
            for slot, state in sorted(states.items())
        }

    def _feed_equally_long(self, slots: Sequence[int], states: Mapping[int, DecodingState]) -> Tensor:
        """Feed prompts of equal length, with drafts of equal length.

        Returns the logits before each token of the draft and after it, shape = (n_slots, n_draft + 1, n_vocab).
        """
        rows = [states[slot] for slot in slots]
        features = self._decoder(
            self._batches.build(slots=slots, tokens=[row.prompt.fed for row in rows], n_cached=[0] * len(slots))
        )
        self._degeneration_penalty.remember(rows, features)
        at_sot = torch.stack([features[i, row.prompt.sot_index] for i, row in enumerate(rows)])
        at_end = features[:, -1 - len(rows[0].prompt.fed_draft) :]
        logits = self._logits(torch.cat([at_sot, at_end.flatten(0, 1)]))
        for row, no_speech_prob in zip(rows, self._rules.no_speech_probs(logits[: len(rows)]), strict=True):
            row.no_speech_prob = no_speech_prob
        return logits[len(rows) :].view(*at_end.shape[:2], -1)

    def _copy_prompts(self, leaders: Mapping[int, int], states: Mapping[int, DecodingState]) -> None:
        """leaders: by slot, those whose prompt has been fed."""
        self._self_kv.copy(leaders, n_tokens=max(len(states[slot].prompt.fed) for slot in leaders))
        for slot, leader in leaders.items():
            states[slot].no_speech_prob = states[leader].no_speech_prob


def _groups_of_equal_length(states: Mapping[int, DecodingState]) -> list[list[int]]:
    """Group slots whose prompts, and drafts, one decoder pass can feed."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for slot, state in states.items():
        groups[len(state.prompt.fed), len(state.prompt.fed_draft)].append(slot)
    return [sorted(group) for group in groups.values()]
