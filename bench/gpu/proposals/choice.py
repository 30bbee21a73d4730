"""Whisper's token rules and the greedy choice on the device, by masks. The host never waits.

The rules are those of `whisper.decoding.logit_filters`, whose state the host keeps in lists.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

SUPPRESSED, SUPPRESSED_AT_BEGIN = 1, 2  # bits of a token's flags
MAX_PROMPT = 8  # tokens that are fed by steps; longer prompts would be fed by a prefill


@dataclass(slots=True, kw_only=True)
class RowStates:
    """What a step reads and writes of its rows. int32, shape = (n_rows,), unless said otherwise.

    tokens: to feed next. positions: of these tokens. slots: of the self-attention cache. windows: slots of the
    cross-attention cache. lengths: of the windows, in positions. prompts: shape = (n_rows, MAX_PROMPT). n_prompt:
    tokens in each prompt. n_sampled: tokens after the prompt. last_timestamps: the last sampled timestamp, -1 for
    none. is_last_timestamp: whether the last token is a timestamp. is_before_timestamp: whether the one before it
    is, or does not exist. results: float32, shape = (n_rows, 2), the chosen token, -1 for none, and its
    log-probability.
    """

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    windows: Tensor
    lengths: Tensor
    prompts: Tensor
    n_prompt: Tensor
    n_sampled: Tensor
    last_timestamps: Tensor
    is_last_timestamp: Tensor
    is_before_timestamp: Tensor
    min_tokens: Tensor
    max_tokens: Tensor
    is_finished: Tensor
    results: Tensor

    def clone(self) -> RowStates:
        return RowStates(**{field.name: getattr(self, field.name).clone() for field in fields(self)})

    def copy_(self, other: RowStates) -> None:
        """Take another state, without moving any tensor."""
        for field in fields(self):
            getattr(self, field.name).copy_(getattr(other, field.name))


def begin_states(
    n_rows: int, prompt: list[int], *, device: str, max_tokens: int, min_tokens: int = 0, length: int = 1_500
) -> RowStates:
    """Return the states of rows that have been fed nothing. Row i uses slot i."""

    def full(value: int) -> Tensor:
        return torch.full((n_rows,), value, dtype=torch.int32, device=device)

    padded = torch.tensor(prompt + [0] * (MAX_PROMPT - len(prompt)), dtype=torch.int32, device=device)
    slots = torch.arange(n_rows, dtype=torch.int32, device=device)
    return RowStates(
        tokens=full(prompt[0]),
        positions=full(0),
        slots=slots,
        windows=slots.clone(),
        lengths=full(length),
        prompts=padded.repeat(n_rows, 1),
        n_prompt=full(len(prompt)),
        n_sampled=full(0),
        last_timestamps=full(-1),
        is_last_timestamp=full(0),
        is_before_timestamp=full(0),
        min_tokens=full(min_tokens),
        max_tokens=full(max_tokens),
        is_finished=full(0),
        results=torch.zeros((n_rows, 2), device=device),
    )


def token_flags(
    n_vocab: int, suppressed: list[int], at_begin: list[int], *, device: str, n_rows: int | None = None
) -> Tensor:
    """Return for each token whether it is forbidden, always or as the first one, int32, shape = (n_rows,).

    n_rows: of the output's weight; those after n_vocab are padding. None: there is no padding.
    """
    flags = torch.zeros(n_rows or n_vocab, dtype=torch.int32)
    flags[n_vocab:] = SUPPRESSED
    flags[suppressed] |= SUPPRESSED
    flags[at_begin] |= SUPPRESSED_AT_BEGIN
    return flags.to(device)


def filter_logits(
    logits: Tensor, flags: Tensor, state: RowStates, *, timestamp_begin: int, initial_end: int, eot: int
) -> Tensor:
    """Return float32 logits with -inf for tokens that the rules forbid, shape = (n_rows, n_vocab).

    initial_end: after the last timestamp that may be the first token.
    """
    ids = torch.arange(logits.shape[1], device=logits.device)
    n, last = state.n_sampled[:, None], state.last_timestamps[:, None]
    is_first = n == 0
    is_last = (state.is_last_timestamp[:, None] != 0) & ~is_first
    must_be_text = is_last & (state.is_before_timestamp[:, None] != 0)
    closes = is_last & ~must_be_text
    begin = torch.where(is_first | (last < 0), timestamp_begin, torch.where(closes, last, last + 1))
    end = torch.where(is_first, initial_end, torch.where(must_be_text, timestamp_begin, len(flags)))
    n_forbidden = torch.where(is_first, timestamp_begin, torch.where(closes, eot, 0))
    is_timestamp = ids >= timestamp_begin
    forbidden = torch.where(is_timestamp, (ids < begin) | (ids >= end), ids < n_forbidden)
    forbidden |= (flags & SUPPRESSED) != 0
    forbidden |= ((flags & SUPPRESSED_AT_BEGIN) != 0) & is_first
    forbidden |= (ids == eot) & (n < state.min_tokens[:, None])
    scores = logits.float().masked_fill(forbidden, -torch.inf)
    text, timestamps = scores[:, :timestamp_begin], scores[:, timestamp_begin:]
    wins = timestamps.logsumexp(dim=1, keepdim=True) > text.amax(dim=1, keepdim=True)
    return scores.masked_fill(wins & ~is_timestamp, -torch.inf)


def choose(
    logits: Tensor, flags: Tensor, state: RowStates, *, timestamp_begin: int, initial_end: int, eot: int
) -> None:
    """Choose each row's next token, and update the state in place. Rows with a prompt left feed that."""
    scores = filter_logits(logits, flags, state, timestamp_begin=timestamp_begin, initial_end=initial_end, eot=eot)
    top, chosen = scores.amax(dim=1), scores.argmax(dim=1)
    logprobs = top - scores.logsumexp(dim=1)
    chosen = chosen.int()
    at = state.positions + 1
    forced = state.prompts.gather(1, at.clamp(max=MAX_PROMPT - 1).long()[:, None])[:, 0]
    is_forced = at < state.n_prompt
    is_finished = state.is_finished != 0
    samples = ~is_forced & ~is_finished
    ends = samples & ((chosen == eot) | (state.n_sampled + 1 >= state.max_tokens))
    adds = samples & (chosen != eot)
    is_timestamp = chosen >= timestamp_begin
    before = torch.where(state.n_sampled == 0, 1, state.is_last_timestamp)
    state.results.copy_(
        torch.stack([torch.where(samples, chosen, -1).float(), torch.where(samples, logprobs, 0.0)], dim=1)
    )
    state.is_before_timestamp.copy_(torch.where(adds, before, state.is_before_timestamp))
    state.is_last_timestamp.copy_(torch.where(adds, is_timestamp.int(), state.is_last_timestamp))
    state.last_timestamps.copy_(torch.where(adds & is_timestamp, chosen, state.last_timestamps))
    state.n_sampled.add_(adds.int())
    state.tokens.copy_(torch.where(is_forced, forced, torch.where(adds, chosen, state.tokens)))
    state.positions.add_((~is_finished & ~ends).int())
    state.is_finished.copy_((is_finished | ends).int())
