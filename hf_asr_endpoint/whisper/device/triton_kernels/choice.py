"""Triton kernels that choose a step's tokens: one pass over the logits, and one small program for each row.

`device.choice` has the rules in torch's operators, and `device.row_states` the meaning of the state.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from hf_asr_endpoint.whisper.device.choice import DeviceRules
from hf_asr_endpoint.whisper.device.row_states import RowStates

BLOCK = 4_096  # logits that a program reads
N_FIGURES = 8  # of each part of a row: see `_scan`


@triton.jit
def _scan(
    logits, flags, n_sampled, last_timestamps, is_last_timestamp, is_before_timestamp, min_tokens, figures,
    n_logits, n_vocab, timestamp_begin, initial_end, eot, n_parts, BLOCK: tl.constexpr,
):  # fmt: skip
    """A program reads one part of a row.

    Figures: of allowed text and of allowed timestamps the maximum, its index, and the sum of exp; of all tokens
    the maximum and the sum of exp.
    """
    row, part = tl.program_id(0), tl.program_id(1)
    token = part * BLOCK + tl.arange(0, BLOCK)
    inside = token < n_vocab
    score = tl.load(logits + row.to(tl.int64) * n_logits + token, mask=inside, other=-float("inf")).to(tl.float32)
    all_top = tl.max(score, 0)
    all_sum = tl.sum(tl.where(score == -float("inf"), 0.0, tl.exp(score - all_top)), 0)
    flag = tl.load(flags + token, mask=inside, other=1)
    n = tl.load(n_sampled + row)
    last = tl.load(last_timestamps + row)
    ends, opens = tl.load(is_last_timestamp + row) != 0, tl.load(is_before_timestamp + row) != 0
    is_first = n == 0
    must_be_text = ends & opens & (n > 0)
    closes = ends & (n > 0) & (must_be_text == 0)
    begin = tl.where(is_first | (last < 0), timestamp_begin, tl.where(closes, last, last + 1))
    end = tl.where(is_first, initial_end, tl.where(must_be_text, timestamp_begin, n_vocab))
    n_forbidden = tl.where(is_first, timestamp_begin, tl.where(closes, eot, 0))
    forbidden = ((flag & 1) != 0) | (((flag & 2) != 0) & is_first)
    forbidden = forbidden | ((token == eot) & (n < tl.load(min_tokens + row)))
    is_timestamp = token >= timestamp_begin
    out_of_bounds = tl.where(is_timestamp, (token < begin) | (token >= end), token < n_forbidden)
    score = tl.where(forbidden | out_of_bounds, -float("inf"), score)
    text = tl.where(is_timestamp, -float("inf"), score)
    stamp = tl.where(is_timestamp, score, -float("inf"))
    text_top, stamp_top = tl.max(text, 0), tl.max(stamp, 0)
    text_index = tl.min(tl.where((text == text_top) & (is_timestamp == 0), token, n_vocab), 0)
    stamp_index = tl.min(tl.where((stamp == stamp_top) & is_timestamp, token, n_vocab), 0)
    text_sum = tl.sum(tl.where(text == -float("inf"), 0.0, tl.exp(text - text_top)), 0)
    stamp_sum = tl.sum(tl.where(stamp == -float("inf"), 0.0, tl.exp(stamp - stamp_top)), 0)
    at = figures + (row * n_parts + part) * 8
    tl.store(at, text_top)
    tl.store(at + 1, text_index.to(tl.float32))  # Exact: a vocabulary is far below 2 ** 24.
    tl.store(at + 2, text_sum)
    tl.store(at + 3, stamp_top)
    tl.store(at + 4, stamp_index.to(tl.float32))
    tl.store(at + 5, stamp_sum)
    tl.store(at + 6, all_top)
    tl.store(at + 7, all_sum)


@triton.jit
def _choose(
    figures, logits, prompts, n_prompt, sot_positions, tokens, positions, n_sampled, last_timestamps,
    is_last_timestamp, is_before_timestamp, max_tokens, is_stopped, results,
    n_parts, n_logits, n_vocab, timestamp_begin, eot, no_speech, prompt_width,
    PARTS: tl.constexpr,
):  # fmt: skip
    """A program combines a row's parts, chooses its token, and updates its state."""
    row, part = tl.program_id(0), tl.arange(0, PARTS)
    inside = part < n_parts
    at = figures + (row * n_parts + part) * 8
    text_tops = tl.load(at, mask=inside, other=-float("inf"))
    stamp_tops = tl.load(at + 3, mask=inside, other=-float("inf"))
    text_top, stamp_top = tl.max(text_tops, 0), tl.max(stamp_tops, 0)
    text_indexes = tl.load(at + 1, mask=inside, other=n_vocab).to(tl.int32)
    stamp_indexes = tl.load(at + 4, mask=inside, other=n_vocab).to(tl.int32)
    text_token = tl.min(tl.where(text_tops == text_top, text_indexes, n_vocab), 0)
    stamp_token = tl.min(tl.where(stamp_tops == stamp_top, stamp_indexes, n_vocab), 0)
    text_sums = tl.load(at + 2, mask=inside, other=0.0)
    stamp_sums = tl.load(at + 5, mask=inside, other=0.0)
    text_sum = tl.sum(tl.where(text_tops == -float("inf"), 0.0, text_sums * tl.exp(text_tops - text_top)), 0)
    stamp_sum = tl.sum(tl.where(stamp_tops == -float("inf"), 0.0, stamp_sums * tl.exp(stamp_tops - stamp_top)), 0)
    # Timestamps win when all together are likelier than any text token.
    wins = (stamp_top > -float("inf")) & (stamp_top + tl.log(tl.where(stamp_sum > 0, stamp_sum, 1.0)) > text_top)
    takes_stamp = wins | (stamp_top > text_top)
    top = tl.where(takes_stamp, stamp_top, text_top)
    chosen = tl.where(takes_stamp, stamp_token, text_token)
    all_text = tl.where(wins | (text_top == -float("inf")), 0.0, text_sum * tl.exp(text_top - top))
    all_stamps = tl.where(stamp_top == -float("inf"), 0.0, stamp_sum * tl.exp(stamp_top - top))
    logprob = -tl.log(all_text + all_stamps)
    all_tops = tl.load(at + 6, mask=inside, other=-float("inf"))
    all_top = tl.max(all_tops, 0)
    all_sums = tl.load(at + 7, mask=inside, other=0.0)
    all_sum = tl.sum(tl.where(all_tops == -float("inf"), 0.0, all_sums * tl.exp(all_tops - all_top)), 0)
    silence = tl.exp(tl.load(logits + row.to(tl.int64) * n_logits + no_speech).to(tl.float32) - all_top) / all_sum

    position, n = tl.load(positions + row), tl.load(n_sampled + row)
    runs = tl.load(is_stopped + row) == 0
    is_forced = position + 1 < tl.load(n_prompt + row)
    forced = tl.load(prompts + row * prompt_width + tl.minimum(position + 1, prompt_width - 1))
    samples = (is_forced == 0) & runs
    is_eot = chosen == eot
    ends = samples & (is_eot | (n + 1 >= tl.load(max_tokens + row)))
    adds = samples & (is_eot == 0)
    is_stamp = chosen >= timestamp_begin
    is_sot = runs & (position == tl.load(sot_positions + row))
    tl.store(results + 3 * row, tl.where(samples, chosen.to(tl.float32), -1.0))
    tl.store(results + 3 * row + 1, tl.where(samples, logprob, 0.0))
    tl.store(results + 3 * row + 2, tl.where(is_sot, silence, -1.0))
    before = tl.load(is_last_timestamp + row)
    tl.store(
        is_before_timestamp + row, tl.where(adds, tl.where(n == 0, 1, before), tl.load(is_before_timestamp + row))
    )
    tl.store(is_last_timestamp + row, tl.where(adds, is_stamp.to(tl.int32), before))
    tl.store(last_timestamps + row, tl.where(adds & is_stamp, chosen, tl.load(last_timestamps + row)))
    tl.store(n_sampled + row, n + adds.to(tl.int32))
    goes_on = runs & (ends == 0)
    tl.store(is_stopped + row, (goes_on == 0).to(tl.int32))
    next_token = tl.where(is_forced & runs, forced, tl.where(adds, chosen, tl.load(tokens + row)))
    tl.store(tokens + row, next_token)
    tl.store(positions + row, position + goes_on.to(tl.int32))


def choose(logits: Tensor, rules: DeviceRules, states: RowStates) -> None:
    """See `device.choice.choose`: the same in two kernels."""
    ids, s = rules.ids, states
    n_rows, n_logits = logits.shape
    n_parts = triton.cdiv(ids.n_vocab, BLOCK)
    figures = torch.empty((n_rows, n_parts, N_FIGURES), device=logits.device, dtype=torch.float32)
    _scan[(n_rows, n_parts)](
        logits, rules.flags, s.n_sampled, s.last_timestamp, s.is_last_timestamp, s.is_before_timestamp,
        s.min_tokens, figures,
        n_logits, ids.n_vocab, ids.timestamp_begin, ids.initial_end, ids.eot, n_parts, BLOCK=BLOCK, num_warps=8,
    )  # fmt: skip
    _choose[(n_rows,)](
        figures, logits, s.prompts, s.n_prompt, s.sot_position, s.token, s.position, s.n_sampled, s.last_timestamp,
        s.is_last_timestamp, s.is_before_timestamp, s.max_tokens, s.is_stopped, s.results,
        n_parts, n_logits, ids.n_vocab, ids.timestamp_begin, ids.eot, ids.no_speech, s.prompts.shape[1],
        PARTS=triton.next_power_of_2(n_parts), num_warps=1,
    )  # fmt: skip
