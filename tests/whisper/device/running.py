"""Runs texts on a model as the engine does: in slots, admitted at different times, some held back for a while."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

import torch
from torch import Tensor

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.engine.model import SpeechModel
from hf_asr_endpoint.engine.sequence import Attempt, Request
from hf_asr_endpoint.engine.sequence import Sequence as EngineSequence
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState, begin_rows
from hf_asr_endpoint.whisper.log_mel import Window
from tests.parity.random_whisper import SOT, random_window

PROMPT = DecoderPrompt(tokens=(SOT,))
LONG_PROMPT = DecoderPrompt(tokens=(28, *range(11), SOT), sot_index=12)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Text:
    """A window and how it is decoded."""

    window: Window
    prompt: DecoderPrompt = PROMPT
    rules: AttemptRules = field(default_factory=lambda: AttemptRules(max_new_tokens=20))


def rules(temperature: float = 0.0, *, max_new_tokens: int = 20, **options: object) -> AttemptRules:
    return AttemptRules(
        options=DecodingOptions.from_flat(**options), max_new_tokens=max_new_tokens, temperature=temperature
    )


def window(seed: int) -> Tensor:
    """Return a window whose length depends on the seed."""
    return random_window(seed)[:, : 300 + 170 * (seed % 9)]


MIXED = (
    Text(window=window(0)),
    Text(window=window(1), rules=rules(num_beams=3)),
    Text(window=window(2), prompt=DecoderPrompt(tokens=(28, 5, 6, SOT), sot_index=3)),
    Text(window=window(3), rules=rules(0.6, best_of=2)),
    Text(window=window(4), prompt=LONG_PROMPT),
    Text(window=window(5), rules=rules(penalty_alpha=0.6, top_k=3)),
    Text(window=window(6), rules=rules(repetition_penalty=1.3)),
    Text(window=window(7), rules=rules(suppress_tokens=(3, 4, 17))),
    Text(window=window(8), rules=AttemptRules(max_new_tokens=9, min_new_tokens=9)),
    Text(window=window(1), rules=rules(num_beams=4, num_beam_groups=2)),
    Text(window=window(5), rules=rules(max_new_tokens=1)),
    Text(window=window(2)),
)
"""Every kind of row."""


def decode(
    model: SpeechModel, texts: Sequence[Text], *, slots: int, seed: int = 0, hold: float = 0.0
) -> list[list[DecodingState]]:
    """Return each text's rows, once all have ended.

    seed: of the order of admissions, and of which texts are held back. hold: the share that is, in each step.
    """
    choices = random.Random(seed)
    waiting, free = list(enumerate(texts)), list(range(slots))
    choices.shuffle(waiting)
    running: dict[int, dict[int, DecodingState]] = {}
    done: dict[int, list[DecodingState]] = {}
    for _ in range(2_000):
        while waiting and (choices.random() < 0.7 or not running):
            number, text = waiting[-1]
            rows = begin_rows(text.prompt, text.rules)
            if len(rows) > len(free):
                break
            waiting.pop()
            choices.shuffle(free)
            taken = sorted(free[: len(rows)])
            del free[: len(rows)]
            states = dict(zip(taken, rows, strict=True))
            model.encode(dict.fromkeys(taken, text.window), spans={})
            model.prefill(states)
            running[number] = states
        held = {number for number in running if choices.random() < hold}
        model.decode_step(
            {
                slot: state
                for number, states in running.items()
                if number not in held
                for slot, state in states.items()
                if not state.is_finished
            }
        )
        for number in [each for each in running if each not in held]:
            if all(state.is_finished for state in running[number].values()):
                for slot in running[number]:
                    model.free(slot)
                free += running[number]
                done[number] = list(running.pop(number).values())
        if not waiting and not running:
            return [done[number] for number in range(len(texts))]
    raise AssertionError("texts did not end")


def assert_equal_rows(
    found: Sequence[Sequence[DecodingState]],
    expected: Sequence[Sequence[DecodingState]],
    *,
    tolerance: float = 1e-3,
) -> None:
    for rows, expected_rows in zip(found, expected, strict=True):
        for row, other in zip(rows, expected_rows, strict=True):
            assert row.sampled == other.sampled
            assert row.is_cut_off == other.is_cut_off
            torch.testing.assert_close(
                torch.tensor(row.logprobs), torch.tensor(other.logprobs), atol=tolerance, rtol=0
            )
            assert abs(row.no_speech_prob - other.no_speech_prob) < tolerance


def sequence(text: Text, ended: SimpleQueue[EngineSequence]) -> EngineSequence:
    """Return a sequence that decodes a text once, and puts itself into `ended`."""
    rows = text.rules.beams.num_beams if text.rules.beams else text.rules.best_of
    return EngineSequence(
        request=Request(),
        attempt=Attempt(window=text.window, prompt=text.prompt, rules=text.rules),
        on_attempt=lambda state: None,
        on_end=ended.put,
        n_slots=text.rules.contrast.top_k if text.rules.contrast else rows,
    )
