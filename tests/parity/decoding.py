"""Runs the engine's model on windows, step by step as the engine does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.transcription.attempt_rules import attempt_rules
from hf_asr_endpoint.transcription.fallback import Step
from hf_asr_endpoint.units import MAX_TARGET_POSITIONS, N_POSITIONS
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState, begin_rows
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel

N_SLOTS = 16
WHOLE = PositionSpan(0, N_POSITIONS)


def likeliest(scores: LanguageScores) -> int:
    """Return the language token that a part is most likely in."""
    return max(scores.logprobs, key=lambda token: scores.logprobs[token])


def greedy(prompt: DecoderPrompt, *, max_new_tokens: int | None = None) -> DecodingState:
    """Return a new state. max_new_tokens: None is the capacity of the decoder."""
    limit = MAX_TARGET_POSITIONS - len(prompt.tokens) if max_new_tokens is None else max_new_tokens
    return DecodingState(prompt=prompt, rules=AttemptRules(max_new_tokens=limit))


def rules_at_temperature_0(prompt: DecoderPrompt, arguments: Mapping[str, Any]) -> AttemptRules:
    """Return the rules of a window. arguments: of transformers' `generate` that are decoding options too."""
    options = DecodingOptions.from_flat(**arguments)
    return attempt_rules(options, Step(temperature=0.0, is_whole=True), prompt=prompt)


def rows_in(slots: Sequence[int], prompt: DecoderPrompt, rules: AttemptRules) -> dict[int, DecodingState]:
    """Return the states of an attempt by slot. It must need as many slots as are given."""
    return dict(zip(slots, begin_rows(prompt, rules), strict=True))


def decode(model: WhisperSpeechModel, states: Mapping[int, DecodingState]) -> None:
    """Decode until all states are finished. states: by slot; their windows must be encoded."""
    model.prefill(states)
    running = {slot: state for slot, state in states.items() if not state.is_finished}
    while running:
        model.decode_step(running)
        running = {slot: state for slot, state in running.items() if not state.is_finished}


def with_eot(state: DecodingState, *, eot: int) -> list[int]:
    """Return the tokens as transformers returns them: with eot, unless `max_new_tokens` ended the text."""
    is_full = len(state.sampled) >= state.rules.max_new_tokens
    return state.sampled if is_full else [*state.sampled, eot]
