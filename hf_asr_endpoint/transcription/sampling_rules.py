"""What a caller's options mean for one attempt at a window: the rules by which its tokens are chosen."""

from __future__ import annotations

from hf_asr_endpoint.transcription.fallback import Step
from hf_asr_endpoint.types import DecodingOptions
from hf_asr_endpoint.units import MAX_TARGET_POSITIONS
from hf_asr_endpoint.whisper.decoding.beam_search import BeamRules
from hf_asr_endpoint.whisper.decoding.contrastive_search import ContrastiveRules
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt, SamplingFilters, SamplingRules

DEFAULT_MAX_NEW_TOKENS = MAX_TARGET_POSITIONS // 2  # as in openai/whisper


def sampling_rules(options: DecodingOptions, step: Step, *, prompt: DecoderPrompt) -> SamplingRules:
    """Return a step's rules for a window. `max_length` and `min_length` count the decoder prompt from sot on.

    The text so far is not counted, so that a limit leaves every window the same room.
    """
    room = MAX_TARGET_POSITIONS - prompt.length
    n_counted = prompt.length - prompt.sot_index
    most = options.max_new_tokens
    if most is None:
        most = DEFAULT_MAX_NEW_TOKENS if options.max_length is None else options.max_length - n_counted
    least = max(options.min_new_tokens or 0, (options.min_length or 0) - n_counted)
    return SamplingRules(
        max_new_tokens=max(1, min(max(most, least), room)),
        min_new_tokens=min(least, room),
        temperature=step.temperature,
        seed=options.seed,
        filters=_filters(options),
        n_samples=options.best_of if step.temperature > 0 else 1,
        beams=_beam_rules(options) if step.temperature == 0 and options.num_beams > 1 else None,
        contrast=_contrastive_rules(options) if step.temperature == 0 and options.penalty_alpha > 0 else None,
        suppressed_tokens=options.suppress_tokens,
    )


def n_slots(options: DecodingOptions) -> int:
    """Return how many slots a window needs: for beams, candidates or samples, where it may be decoded so."""
    return max(
        max(options.num_beams, options.n_contrasted) if 0.0 in options.temperatures else 1,
        options.best_of if any(temperature > 0 for temperature in options.temperatures) else 1,
    )


def _filters(options: DecodingOptions) -> SamplingFilters:
    return SamplingFilters(
        top_k=options.top_k,
        top_p=options.top_p,
        typical_p=options.typical_p,
        epsilon_cutoff=options.epsilon_cutoff,
        eta_cutoff=options.eta_cutoff,
    )


def _beam_rules(options: DecodingOptions) -> BeamRules:
    return BeamRules(
        num_beams=options.num_beams,
        num_beam_groups=options.num_beam_groups,
        diversity_penalty=options.diversity_penalty,
        length_penalty=options.length_penalty,
        early_stopping=options.early_stopping,
        patience=options.patience,
        temperature=options.beam_temperature,
    )


def _contrastive_rules(options: DecodingOptions) -> ContrastiveRules:
    return ContrastiveRules(top_k=options.n_contrasted, penalty_alpha=options.penalty_alpha)
