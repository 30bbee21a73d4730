"""Draft verification: which of the tokens that were expected greedy decoding chooses, too."""

from __future__ import annotations

from torch import Tensor

from hf_asr_endpoint.whisper.decoding.logit_filters import TokenRules
from hf_asr_endpoint.whisper.decoding.sampling import choose_tokens
from hf_asr_endpoint.whisper.decoding.state import DecodingState


def verify_draft(logits: Tensor, state: DecodingState, rules: TokenRules) -> None:
    """Append the tokens that a state's steps would have chosen: its draft, up to the first token that differs.

    logits: before each token of the draft and after the last one, shape = (n_draft + 1, n_vocab); are changed.
    What the cache holds of tokens that are not kept is overwritten by the next steps.
    """
    for position, expected in enumerate([*state.prompt.draft, None]):
        row = logits[position : position + 1]
        rules.filter(row, [state])
        [(token, logprob)] = choose_tokens(row, [state])
        state.append(token, logprob, eot=rules.eot)
        if token != expected or state.is_finished:
            return
