"""Models with a decoder that gives plain text: Moonshine, Speech2Text, SpeechEncoderDecoder, transducers.

They have the options of `generate`, and tell neither times nor languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.generation.stopping_criteria import StoppingCriteriaList

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.family import ChunkText, ShouldStop, whole_chunk
from hf_asr_endpoint.transformers_models.generation import generation_arguments
from hf_asr_endpoint.transformers_models.limits import GENERATION, Abilities, check_options
from hf_asr_endpoint.types import TranscriptionOptions

LENGTHS = ("max_length", "max_new_tokens", "min_length", "min_new_tokens")

DEFAULT_MAX_NEW_TOKENS = 448
"""Where a model's generation config has no length: transformers' own default of 20 tokens would cut texts off."""


class Seq2SeqFamily:
    """A Family. Greedy decoding is the default, also where a model's generation config has beams."""

    detects_language = False

    def __init__(self, model: Any, tokenizer: Any, audio: AudioInput, *, masks_padding: bool) -> None:
        """masks_padding: see CtcFamily."""
        self._model = model
        self._tokenizer = tokenizer
        self._audio = audio
        self._masks_padding = masks_padding
        self._has_own_length = model.generation_config.max_length is not None or (
            model.generation_config.max_new_tokens is not None
        )
        self._abilities = Abilities(name=f"this {model.config.model_type} model", options=GENERATION, samples=True)

    def check(self, options: TranscriptionOptions) -> None:
        check_options(options, self._abilities)

    @torch.inference_mode()
    def transcribe(
        self, chunks: Sequence[Chunk], options: TranscriptionOptions, *, should_stop: ShouldStop
    ) -> list[ChunkText]:
        if self._masks_padding:
            return self._transcribe(chunks, options.decoding, should_stop)
        return [self._transcribe([chunk], options.decoding, should_stop)[0] for chunk in chunks]

    def _transcribe(
        self, chunks: Sequence[Chunk], decoding: DecodingOptions, should_stop: ShouldStop
    ) -> list[ChunkText]:
        padded = {"padding": True, "return_attention_mask": True} if self._masks_padding else {}
        inputs = self._audio.make([chunk.waveform for chunk in chunks], **padded)
        sequences = self._model.generate(**inputs, **self._arguments(decoding, should_stop))
        sequences = getattr(sequences, "sequences", sequences)  # Transducers return more than tokens.
        texts = self._tokenizer.batch_decode(sequences, skip_special_tokens=True)
        special = set(self._tokenizer.all_special_ids)
        tokens = [[token for token in row if token not in special] for row in sequences.tolist()]
        return [
            ChunkText(pieces=whole_chunk(chunk, f" {text.strip()}", row))
            for chunk, row, text in zip(chunks, tokens, texts, strict=True)
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
        for name in LENGTHS:
            if (value := getattr(decoding.lengths, name)) is not None:
                arguments[name] = value
        if not self._has_own_length and not arguments.keys() & {"max_length", "max_new_tokens"}:
            arguments["max_new_tokens"] = DEFAULT_MAX_NEW_TOKENS
        return {**arguments, "stopping_criteria": StoppingCriteriaList([_stop_when(should_stop)])}


def _stop_when(should_stop: ShouldStop) -> Any:
    def criterion(input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), should_stop(), dtype=torch.bool, device=input_ids.device)

    return criterion
