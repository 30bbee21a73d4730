"""Decodes windows without an engine: all of them together, step after step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from bench.gpu.internals import AnyModel
from hf_asr_endpoint.units import MAX_TARGET_POSITIONS
from hf_asr_endpoint.whisper.decoding.state import (
    AttemptRules,
    DecoderPrompt,
    DecodingState,
    begin_rows,
    best_row,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Windows that are decoded together. rows: the states of each window. states: all rows, by slot."""

    rows: list[list[DecodingState]]
    states: dict[int, DecodingState]

    @property
    def running(self) -> dict[int, DecodingState]:
        return {slot: state for slot, state in self.states.items() if not state.is_finished}


def encode_batch(model: AnyModel, mels: Sequence[Tensor], prompt: DecoderPrompt, rules: AttemptRules) -> Batch:
    """Encode windows one at a time, as the engine does. Their prompts have not been fed."""
    rows = [begin_rows(prompt, rules) for _ in mels]
    batch = Batch(rows=rows, states={})
    for mel, window_rows in zip(mels, rows, strict=True):
        slots = range(len(batch.states), len(batch.states) + len(window_rows))
        batch.states.update(zip(slots, window_rows, strict=True))
        model.encode(dict.fromkeys(slots, mel))
    return batch


def run_step(model: AnyModel, batch: Batch) -> None:
    model.decode_step(batch.running)


def feed_prompts_again(model: AnyModel, batch: Batch) -> None:
    for state in batch.states.values():
        state.sampled.clear()
        state.logprobs.clear()
    model.prefill(batch.states)


def free_batch(model: AnyModel, batch: Batch) -> None:
    for slot in batch.states:
        model.free(slot)


def decode(
    model: AnyModel,
    mels: Sequence[Tensor],
    prompt: DecoderPrompt,
    rules: AttemptRules,
    before_free: Callable[[list[DecodingState], list[int]], None] = lambda results, slots: None,
) -> list[DecodingState]:
    """Return each window's result.

    before_free: called with the results and the first slot of each window, while the slots are in use.
    """
    batch = encode_batch(model, mels, prompt, rules)
    try:
        model.prefill(batch.states)
        for _ in range(MAX_TARGET_POSITIONS):
            if not batch.running:
                break
            run_step(model, batch)
        results = [best_row(rows) for rows in batch.rows]
        n_rows = len(batch.rows[0])
        before_free(results, [index * n_rows for index in range(len(mels))])
    finally:
        free_batch(model, batch)
    return results
