"""Models with a decoder that gives plain text, such as Moonshine, SpeechEncoderDecoder and SeamlessM4T.

They have the options of `generate`, and tell no times. SeamlessM4T is told the language of the text; the others
know one language, or find it by themselves and do not say which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.family import ChunkInContext, ChunkText, HaveLeft, one_by_one
from hf_asr_endpoint.transformers_models.generation import TextGenerator
from hf_asr_endpoint.transformers_models.limits import GENERATION, Abilities, check_options
from hf_asr_endpoint.transformers_models.model_languages import ModelLanguages
from hf_asr_endpoint.types import TranscriptionOptions


class Seq2SeqFamily:
    """A Family."""

    context_s = 0.0

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        audio: AudioInput,
        *,
        masks_padding: bool,
        target_languages: ModelLanguages | None = None,
    ) -> None:
        """masks_padding: see CtcFamily. target_languages: of a model that has to be told one."""
        self._generator = TextGenerator(model)
        self._tokenizer = tokenizer
        self._audio = audio
        self._masks_padding = masks_padding
        self._target_languages = target_languages
        self.languages = () if target_languages is None else tuple(target_languages.codes)
        self._special = set(tokenizer.all_special_ids)
        self._abilities = Abilities(
            name=f"this {model.config.model_type} model",
            options=GENERATION | (frozenset() if target_languages is None else {"language", "task"}),
            samples=True,
        )

    def check(self, options: TranscriptionOptions) -> None:
        check_options(options, self._abilities)
        self._generator.check(options.decoding)
        if self._target_languages is not None:
            self._target_languages.check_target(options)

    @torch.inference_mode()
    def transcribe(
        self, chunks: Sequence[ChunkInContext], options: TranscriptionOptions, *, have_left: HaveLeft
    ) -> list[ChunkText]:
        def transcribe(some: Sequence[ChunkInContext], left: HaveLeft) -> list[ChunkText]:
            return self._transcribe(some, options, left)

        return transcribe(chunks, have_left) if self._masks_padding else one_by_one(transcribe, chunks, have_left)

    def _transcribe(
        self, chunks: Sequence[ChunkInContext], options: TranscriptionOptions, have_left: HaveLeft
    ) -> list[ChunkText]:
        padded = {"padding": True, "return_attention_mask": True} if self._masks_padding else {}
        inputs: dict[str, Any] = self._audio.make([each.chunk.waveform for each in chunks], **padded)
        n_prompt = 1
        if self._target_languages is not None:
            inputs["tgt_lang"] = self._target_languages.target(options)
            n_prompt = 2
        rows = self._generator.generate(inputs, options.decoding, n_prompt=n_prompt, have_left=have_left)
        texts = self._tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [plain_text(text, row, special=self._special) for row, text in zip(rows, texts, strict=True)]


def plain_text(text: str, row: Sequence[int], *, special: set[int]) -> ChunkText:
    """Return a chunk's text. row: its tokens, and special ones between and behind them."""
    stripped = text.strip()
    return ChunkText(
        text=f" {stripped}" if stripped else "", tokens=tuple(token for token in row if token not in special)
    )
