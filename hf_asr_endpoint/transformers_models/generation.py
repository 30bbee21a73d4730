"""Decoding options to arguments of transformers' `generate`, and its call for models that write plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers.generation.stopping_criteria import StoppingCriteriaList

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS, DecodingOptions, LengthLimits
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.transformers_models.family import HaveLeft

DEFAULT_MAX_NEW_TOKENS = 448
"""Where a model's configurations have no length: transformers' own default of 20 tokens would cut texts off."""

_POSITIONS = ("max_position_embeddings", "max_target_positions", "n_positions")
"""What configurations call the number of tokens that a decoder holds."""


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


def stop_rows(have_left: HaveLeft) -> StoppingCriteriaList:
    """Return criteria of `generate` that end the rows of requests which nobody waits for, and so whole batches."""

    def criterion(input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        left = torch.tensor(have_left(), dtype=torch.bool, device=input_ids.device)
        return left.repeat_interleave(len(input_ids) // len(left))  # The beams of a row are side by side.

    return StoppingCriteriaList([criterion])


class TextGenerator:
    """Calls `generate` of one model. Greedy decoding is the default, also where a generation config has beams."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._capacity = _capacity(model)

    def check(self, decoding: DecodingOptions) -> None:
        """Raise InvalidParameter for ids that are not tokens."""
        n_vocab = self._model.get_output_embeddings().out_features
        for token in decoding.suppress_tokens or ():
            if token != MODELS_OWN_TOKENS and not 0 <= token < n_vocab:
                raise InvalidParameter(
                    f"suppress_tokens has {token}; allowed: ids from 0 to {n_vocab - 1}, and {MODELS_OWN_TOKENS} "
                    "for the model's own list",
                    parameter="suppress_tokens",
                )

    def generate(
        self, inputs: Mapping[str, Any], decoding: DecodingOptions, *, n_prompt: int, have_left: HaveLeft
    ) -> list[list[int]]:
        """Return the tokens that follow the prompt, for each row. inputs: more arguments of `generate`.

        n_prompt: tokens before the text. Those of a decoder's prompt count in max_length and min_length; those of
        a language model's, which the audio is part of, do not.
        """
        temperature = decoding.temperatures[0]
        arguments = generation_arguments(
            decoding,
            own_suppressed=tuple(self._model.generation_config.suppress_tokens or ()),
            is_search=temperature == 0 and decoding.beams.num_beams > 1,
        )
        if temperature > 0:
            arguments["temperature"] = temperature
            torch.manual_seed(decoding.seed)
        sequences: Tensor = self._model.generate(
            **inputs,
            **arguments,
            **self._lengths(decoding.lengths, n_prompt=n_prompt),
            do_sample=temperature > 0,
            stopping_criteria=stop_rows(have_left),
        )
        rows: list[list[int]] = sequences[:, n_prompt:].tolist()
        return rows

    def _lengths(self, lengths: LengthLimits, *, n_prompt: int) -> dict[str, int]:
        """Return how many tokens follow the prompt; no more than the decoder holds."""
        own = self._model.generation_config
        n_counted = n_prompt if self._model.config.is_encoder_decoder else 0
        max_new = lengths.max_new_tokens
        for given, n in ((lengths.max_length, n_counted), (own.max_new_tokens, 0), (own.max_length, n_counted)):
            max_new = given - n if max_new is None and given is not None else max_new
        min_new = max(lengths.min_new_tokens or 0, (lengths.min_length or n_counted) - n_counted)
        max_new = max(1, min_new, DEFAULT_MAX_NEW_TOKENS if max_new is None else max_new)
        room = max(self._capacity - n_prompt, 1)
        return {"max_new_tokens": min(max_new, room), "min_new_tokens": min(min_new, room)}


def _capacity(model: Any) -> int:
    """Return how many tokens the decoder holds; the default and a prompt where no configuration says it."""
    config = model.config.get_text_config(decoder=True)
    known = [int(value) for name in _POSITIONS if (value := getattr(config, name, None)) is not None]
    return min(known, default=DEFAULT_MAX_NEW_TOKENS + 1)
