"""Transducers, such as Parakeet's TDT and RNN-T models: a token or a blank for each step through the audio.

Graves 2012, https://arxiv.org/abs/1211.3711
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.family import ChunkInContext, ChunkText, HaveLeft
from hf_asr_endpoint.transformers_models.generation import stop_rows
from hf_asr_endpoint.transformers_models.limits import Abilities, check_options
from hf_asr_endpoint.types import TranscriptionOptions


class TransducerFamily:
    """A Family. transformers decodes transducers greedily and takes no options for it."""

    context_s = 0.0
    languages: tuple[str, ...] = ()

    def __init__(self, model: Any, tokenizer: Any, audio: AudioInput) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._audio = audio
        self._left_out = {*tokenizer.all_special_ids, model.config.blank_token_id}
        self._abilities = Abilities(name=f"this {model.config.model_type} model")

    def check(self, options: TranscriptionOptions) -> None:
        check_options(options, self._abilities)

    @torch.inference_mode()
    def transcribe(
        self, chunks: Sequence[ChunkInContext], options: TranscriptionOptions, *, have_left: HaveLeft
    ) -> list[ChunkText]:
        inputs = self._audio.make(
            [each.chunk.waveform for each in chunks], padding=True, return_attention_mask=True
        )
        # One token at most for each frame of the input, which is more than a frame of the encoder.
        output = self._model.generate(
            **inputs,
            max_new_tokens=next(iter(inputs.values())).shape[1],
            stopping_criteria=stop_rows(have_left),
        )
        rows = [[token for token in row if token not in self._left_out] for row in output.sequences.tolist()]
        return [
            ChunkText(text=f" {text.strip()}" if text.strip() else "", tokens=tuple(row))
            for row, text in zip(rows, self._tokenizer.batch_decode(rows), strict=True)
        ]
