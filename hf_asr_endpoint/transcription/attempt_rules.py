"""What a caller's options come to in one attempt at one window: temperature, and numbers of tokens."""

from __future__ import annotations

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.transcription.fallback import Step
from hf_asr_endpoint.units import MAX_TARGET_POSITIONS, WINDOW_S
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt

DEFAULT_MAX_NEW_TOKENS = MAX_TARGET_POSITIONS // 2  # as in openai/whisper
MIN_DEFAULT_TOKENS, TOKENS_PER_S = 64, 32
"""The default for short windows: nobody says so much in them. A loop that only its limit ends costs as little."""


def attempt_rules(
    options: DecodingOptions, step: Step, *, prompt: DecoderPrompt, window_s: float = WINDOW_S
) -> AttemptRules:
    """Return the rules of a step's attempt. `max_length` and `min_length` count the decoder prompt from sot on.

    They leave out the previous text, so that a limit means the same number of new tokens in every window.
    window_s: seconds of audio.
    """
    lengths = options.lengths
    capacity = MAX_TARGET_POSITIONS - len(prompt.tokens)
    n_counted = len(prompt.tokens) - prompt.sot_index
    max_new = lengths.max_new_tokens
    if max_new is None:
        default = min(MIN_DEFAULT_TOKENS + round(TOKENS_PER_S * window_s), DEFAULT_MAX_NEW_TOKENS)
        max_new = default if lengths.max_length is None else lengths.max_length - n_counted
    min_new = max(lengths.min_new_tokens or 0, (lengths.min_length or 0) - n_counted)
    return AttemptRules(
        options=options,
        max_new_tokens=max(1, min(max(max_new, min_new), capacity)),
        min_new_tokens=min(min_new, capacity),
        temperature=step.temperature,
        seed=options.seed,
    )


def slots_per_sequence(options: DecodingOptions) -> int:
    """Return how many slots a window needs: one for each beam, candidate or sample of its widest attempt."""
    return max(
        max(options.beams.num_beams, n_candidates(options)) if options.searches else 1,
        options.best_of if options.samples else 1,
    )


def n_candidates(options: DecodingOptions) -> int:
    """Return the candidates of contrastive search in each step; 1 without it."""
    return options.contrast.top_k if options.contrast.penalty_alpha > 0 else 1
