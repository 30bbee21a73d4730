"""Models with a decoder that gives plain text, such as Moonshine, Speech2Text and SpeechEncoderDecoder.

They have the options of `generate`, and tell neither times nor languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.generation.stopping_criteria import StoppingCriteriaList

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS, DecodingOptions, LengthLimits
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.family import ChunkInContext, ChunkText, ShouldStop
from hf_asr_endpoint.transformers_models.generation import generation_arguments
from hf_asr_endpoint.transformers_models.limits import GENERATION, Abilities, check_options
from hf_asr_endpoint.types import TranscriptionOptions

DEFAULT_MAX_NEW_TOKENS = 448
"""Where a model's configurations have no length: transformers' own default of 20 tokens would cut texts off."""

_POSITIONS = ("max_position_embeddings", "max_target_positions", "n_positions")
"""What configurations call the number of tokens that a decoder holds."""


class Seq2SeqFamily:
    """A Family. Greedy decoding is the default, also where a model's generation config has beams."""

    context_s = 0.0

    def __init__(self, model: Any, tokenizer: Any, audio: AudioInput, *, masks_padding: bool) -> None:
        """masks_padding: see CtcFamily."""
        self._model = model
        self._tokenizer = tokenizer
        self._audio = audio
        self._masks_padding = masks_padding
        self._special = set(tokenizer.all_special_ids)
        self._capacity = _capacity(model)
        self._abilities = Abilities(name=f"this {model.config.model_type} model", options=GENERATION, samples=True)

    def check(self, options: TranscriptionOptions) -> None:
        check_options(options, self._abilities)
        n_vocab = self._model.get_output_embeddings().out_features
        for token in options.decoding.suppress_tokens or ():
            if token != MODELS_OWN_TOKENS and not 0 <= token < n_vocab:
                raise InvalidParameter(
                    f"suppress_tokens has {token}; allowed: ids from 0 to {n_vocab - 1}, and {MODELS_OWN_TOKENS} "
                    "for the model's own list",
                    parameter="suppress_tokens",
                )

    @torch.inference_mode()
    def transcribe(
        self, chunks: Sequence[ChunkInContext], decoding: DecodingOptions, *, should_stop: ShouldStop
    ) -> list[ChunkText]:
        if self._masks_padding:
            return self._transcribe(chunks, decoding, should_stop)
        return [self._transcribe([chunk], decoding, should_stop)[0] for chunk in chunks if not should_stop()]

    def _transcribe(
        self, chunks: Sequence[ChunkInContext], decoding: DecodingOptions, should_stop: ShouldStop
    ) -> list[ChunkText]:
        padded = {"padding": True, "return_attention_mask": True} if self._masks_padding else {}
        inputs = self._audio.make([each.chunk.waveform for each in chunks], **padded)
        sequences = self._model.generate(**inputs, **self._arguments(decoding, should_stop))
        texts = self._tokenizer.batch_decode(sequences, skip_special_tokens=True)
        return [
            ChunkText(
                text=f" {text.strip()}" if text.strip() else "",
                tokens=tuple(token for token in row if token not in self._special),
            )
            for row, text in zip(sequences.tolist(), texts, strict=True)
        ]

    def _arguments(self, decoding: DecodingOptions, should_stop: ShouldStop) -> dict[str, Any]:
        temperature = decoding.temperatures[0]
        arguments = generation_arguments(
            decoding,
            own_suppressed=tuple(self._model.generation_config.suppress_tokens or ()),
            is_search=temperature == 0 and decoding.beams.num_beams > 1,
        )
        arguments["do_sample"] = temperature > 0
        if temperature > 0:
            arguments["temperature"] = temperature
            torch.manual_seed(decoding.seed)
        return {
            **arguments,
            **self._lengths(decoding.lengths),
            "stopping_criteria": StoppingCriteriaList([stop_when(should_stop)]),
        }

    def _lengths(self, lengths: LengthLimits) -> dict[str, int]:
        """Return how many tokens follow the prompt, which is one token; no more than the decoder holds."""
        own = self._model.generation_config
        max_new = lengths.max_new_tokens
        for given, n_counted in ((lengths.max_length, 1), (own.max_new_tokens, 0), (own.max_length, 1)):
            max_new = given - n_counted if max_new is None and given is not None else max_new
        min_new = max(lengths.min_new_tokens or 0, (lengths.min_length or 1) - 1)
        max_new = max(1, min_new, DEFAULT_MAX_NEW_TOKENS if max_new is None else max_new)
        return {
            "max_new_tokens": min(max_new, self._capacity),
            "min_new_tokens": min(min_new, self._capacity),
        }


def _capacity(model: Any) -> int:
    """Return how many tokens the decoder can add to its prompt; the default where no configuration says it."""
    config = model.config.get_text_config(decoder=True)
    known = [int(value) for name in _POSITIONS if (value := getattr(config, name, None)) is not None]
    return min(known, default=DEFAULT_MAX_NEW_TOKENS + 1) - 1


def stop_when(should_stop: ShouldStop) -> Any:
    """Return a criterion of `generate` that ends a batch which nobody wants any more."""

    def criterion(input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), should_stop(), dtype=torch.bool, device=input_ids.device)

    return criterion
