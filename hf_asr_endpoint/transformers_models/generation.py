"""Decoding options to arguments of transformers' `generate`. Knows no model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.generation.stopping_criteria import StoppingCriteriaList

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS, DecodingOptions
from hf_asr_endpoint.transformers_models.family import ShouldStop


def generation_arguments(
    decoding: DecodingOptions, *, own_suppressed: tuple[int, ...], should_stop: ShouldStop
) -> dict[str, Any]:
    """Return the arguments for all models with a decoder, without temperatures. They hold for one call.

    own_suppressed: the model's own list of suppressed tokens. Sets the seed of what is sampled in that call.
    """
    torch.manual_seed(decoding.seed)
    beams, filters, lengths = decoding.beams, decoding.filters, decoding.lengths
    arguments: dict[str, Any] = {
        "num_beams": beams.num_beams,
        "stopping_criteria": StoppingCriteriaList([_stop_when(should_stop)]),
    }
    if beams.num_beams > 1:
        arguments |= {"length_penalty": beams.length_penalty, "early_stopping": beams.early_stopping}
    if decoding.repetition_penalty != 1:
        arguments["repetition_penalty"] = decoding.repetition_penalty
    if decoding.suppress_tokens is not None:
        listed = [token for token in decoding.suppress_tokens if token != MODELS_OWN_TOKENS]
        own = own_suppressed if MODELS_OWN_TOKENS in decoding.suppress_tokens else ()
        arguments["suppress_tokens"] = sorted({*listed, *own}) or None
    if decoding.samples:
        arguments["top_k"] = filters.top_k or 0  # transformers' own default is 50.
        for name in ("top_p", "typical_p", "epsilon_cutoff", "eta_cutoff"):
            if (value := getattr(filters, name)) is not None:
                arguments[name] = value
    for name in ("max_length", "max_new_tokens", "min_length", "min_new_tokens"):
        if (value := getattr(lengths, name)) is not None:
            arguments[name] = value
    return arguments


def _stop_when(should_stop: ShouldStop) -> Any:
    def criterion(input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), should_stop(), dtype=torch.bool, device=input_ids.device)

    return criterion
