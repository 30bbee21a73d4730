"""Whisper's token rules and the greedy choice on the device, by masks. The host never waits.

The rules are those of `decoding.logit_filters`, whose state the host keeps in lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.device.row_states import MAX_STEPPED_PROMPT, RowStates

SUPPRESSED, SUPPRESSED_AT_BEGIN = 1, 2  # bits of a token's flags


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIds:
    """initial_end: after the last timestamp that may be the first token. n_vocab: of tokens; the output has more
    rows, which are padding.
    """

    timestamp_begin: int
    initial_end: int
    eot: int
    no_speech: int
    n_vocab: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRules:
    """What a step must know of a checkpoint's tokens. flags: see `token_flags`."""

    flags: Tensor
    ids: TokenIds


def chooses_on_device(state: DecodingState) -> bool:
    """Return whether a step can choose the state's tokens by itself: greedily, and by the model's own rules."""
    options = state.rules.options
    return (
        state.search is None
        and state.rules.temperature == 0
        and options.suppress_tokens is None
        and options.repetition_penalty == 1
    )


def device_rules(checkpoint: WhisperCheckpoint, *, n_rows: int, device: torch.device) -> DeviceRules:
    """Return the rules of a checkpoint. n_rows: of the output's weight."""
    tokenizer, generation = checkpoint.tokenizer, checkpoint.generation_config
    n_vocab, begin = checkpoint.config.vocab_size, tokenizer.timestamp_begin
    latest = generation.max_initial_timestamp_index
    flags = token_flags(
        n_vocab,
        [*generation.suppress_tokens, tokenizer.no_timestamps],
        generation.begin_suppress_tokens,
        n_rows=n_rows,
    )
    ids = TokenIds(
        timestamp_begin=begin,
        initial_end=n_vocab if latest is None else begin + latest + 1,
        eot=tokenizer.eot,
        no_speech=tokenizer.no_timestamps - 1,
        n_vocab=n_vocab,
    )
    return DeviceRules(flags=flags.to(device), ids=ids)


def token_flags(n_vocab: int, suppressed: Sequence[int], at_begin: Sequence[int], *, n_rows: int) -> Tensor:
    """Return for each token whether it is forbidden, always or as the first one, int32, shape = (n_rows,).

    Some fine-tuned models keep the lists of another vocabulary. n_rows: those after n_vocab are padding.
    """
    flags = torch.zeros(n_rows, dtype=torch.int32)
    flags[n_vocab:] = SUPPRESSED
    flags[[token for token in suppressed if token in range(n_vocab)]] |= SUPPRESSED
    flags[[token for token in at_begin if token in range(n_vocab)]] |= SUPPRESSED_AT_BEGIN
    return flags


def filter_logits(logits: Tensor, rules: DeviceRules, states: RowStates) -> Tensor:
    """Return float32 logits with -inf for tokens that the rules forbid, shape = (n_rows, n_logits)."""
    token_ids, flags = rules.ids, rules.flags
    timestamp_begin, eot = token_ids.timestamp_begin, token_ids.eot
    ids = torch.arange(logits.shape[1], device=logits.device)
    n, last = states.n_sampled[:, None], states.last_timestamp[:, None]
    is_first = n == 0
    is_last = (states.is_last_timestamp[:, None] != 0) & ~is_first
    must_be_text = is_last & (states.is_before_timestamp[:, None] != 0)
    closes = is_last & ~must_be_text
    begin = torch.where(is_first | (last < 0), timestamp_begin, torch.where(closes, last, last + 1))
    end = torch.where(
        is_first, token_ids.initial_end, torch.where(must_be_text, timestamp_begin, token_ids.n_vocab)
    )
    n_forbidden = torch.where(is_first, timestamp_begin, torch.where(closes, eot, 0))
    is_timestamp = ids >= timestamp_begin
    forbidden = torch.where(is_timestamp, (ids < begin) | (ids >= end), ids < n_forbidden)
    forbidden |= (flags & SUPPRESSED) != 0
    forbidden |= ((flags & SUPPRESSED_AT_BEGIN) != 0) & is_first
    forbidden |= (ids == eot) & (n < states.min_tokens[:, None])
    scores = logits.float().masked_fill(forbidden, -torch.inf)
    text, timestamps = scores[:, :timestamp_begin], scores[:, timestamp_begin:]
    wins = timestamps.logsumexp(dim=1, keepdim=True) > text.amax(dim=1, keepdim=True)
    return scores.masked_fill(wins & ~is_timestamp, -torch.inf)


def choose(logits: Tensor, rules: DeviceRules, states: RowStates) -> None:
    """Choose each row's next token, and update the states in place. Rows with a prompt left feed that."""
    ids = rules.ids
    scores = filter_logits(logits, rules, states)
    top, chosen = scores.amax(dim=1), scores.argmax(dim=1).int()
    logprobs = top - scores.logsumexp(dim=1)
    real = logits[:, : ids.n_vocab].float()
    no_speech = (real[:, ids.no_speech] - real.logsumexp(dim=1)).exp()
    at = states.position + 1
    forced = states.prompts.gather(1, at.clamp(max=MAX_STEPPED_PROMPT - 1).long()[:, None])[:, 0]
    is_forced = at < states.n_prompt
    runs = states.is_stopped == 0
    is_sot = runs & (states.position == states.sot_position)
    samples = ~is_forced & runs
    ends = samples & ((chosen == ids.eot) | (states.n_sampled + 1 >= states.max_tokens))
    adds = samples & (chosen != ids.eot)
    is_timestamp = chosen >= ids.timestamp_begin
    before = torch.where(states.n_sampled == 0, 1, states.is_last_timestamp)
    results = [
        torch.where(samples, chosen, -1).float(),
        torch.where(samples, logprobs, 0.0),
        torch.where(is_sot, no_speech, -1.0),
    ]
    states.results.copy_(torch.stack(results, dim=1))
    states.is_before_timestamp.copy_(torch.where(adds, before, states.is_before_timestamp))
    states.is_last_timestamp.copy_(torch.where(adds, is_timestamp.int(), states.is_last_timestamp))
    states.last_timestamp.copy_(torch.where(adds & is_timestamp, chosen, states.last_timestamp))
    states.n_sampled.add_(adds.int())
    goes_on = runs & ~ends
    states.token.copy_(torch.where(runs & is_forced, forced, torch.where(adds, chosen, states.token)))
    states.position.add_(goes_on.int())
    states.is_stopped.copy_((~goes_on).int())
