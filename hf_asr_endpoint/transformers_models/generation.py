"""Decoding options to arguments of transformers' `generate`. Knows no model."""

from __future__ import annotations

from typing import Any

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS, DecodingOptions


def generation_arguments(
    decoding: DecodingOptions, *, own_suppressed: tuple[int, ...], is_search: bool
) -> dict[str, Any]:
    """Return the arguments for any model with a decoder, for one call, without temperature and lengths.

    own_suppressed: the model's own list of suppressed tokens. is_search: whether beams are used.
    """
    beams, filters = decoding.beams, decoding.filters
    arguments: dict[str, Any] = {"num_beams": beams.num_beams if is_search else 1}
    if is_search:
        arguments |= {"length_penalty": beams.length_penalty, "early_stopping": beams.early_stopping}
    if decoding.repetition_penalty != 1:
        arguments["repetition_penalty"] = decoding.repetition_penalty
    if decoding.suppress_tokens is not None:
        listed = [token for token in decoding.suppress_tokens if token != MODELS_OWN_TOKENS]
        own = own_suppressed if MODELS_OWN_TOKENS in decoding.suppress_tokens else ()
        arguments["suppress_tokens"] = sorted({*listed, *own})
    if decoding.samples:
        arguments["top_k"] = filters.top_k or 0  # transformers' own default is 50.
        for name in ("top_p", "typical_p", "epsilon_cutoff", "eta_cutoff"):
            if (value := getattr(filters, name)) is not None:
                arguments[name] = value
    return arguments
