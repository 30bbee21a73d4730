"""Models trained with connectionist temporal classification, such as wav2vec2, HuBERT, MMS and Parakeet.

They give a token or a blank for each frame, so that words have times; they know one language and have no options.
A chunk that was cut inside speech is computed with a stride of its neighbours, and gets the words in its middle.
Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.family import ChunkInContext, ChunkText, HaveLeft, one_by_one
from hf_asr_endpoint.transformers_models.limits import Abilities, check_options
from hf_asr_endpoint.types import TranscriptionOptions, Word
from hf_asr_endpoint.units import SAMPLE_RATE

WORD_STARTS = ("\u2581", " ")
"""What tokens begin with that begin a word, in vocabularies of pieces of words."""


CONTEXT_S = 5.0
"""A sixth of 30 s, the default stride of transformers' pipeline on each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    """A token, the frames that gave it, and the mean of their probabilities."""

    id: int
    begin: int
    end: int
    probability: float


class CtcFamily:
    """A Family. The most probable token of each frame counts; there is no language model."""

    context_s = CONTEXT_S
    languages: tuple[str, ...] = ()

    def __init__(self, model: Any, tokenizer: Any, audio: AudioInput, *, masks_padding: bool) -> None:
        """masks_padding: whether the model was trained with attention masks. One that was not would give other
        texts for chunks that are padded to a batch, so its chunks are computed one by one."""
        self._model = model
        self._tokenizer = tokenizer
        self._audio = audio
        self._masks_padding = masks_padding
        self._blank = _blank_token(model, tokenizer)
        self._delimiter = tokenizer.convert_tokens_to_ids(getattr(tokenizer, "word_delimiter_token", None) or "|")
        self._skipped = set(tokenizer.all_special_ids) - {self._delimiter}
        self._has_words = _has_words(tokenizer)
        self._abilities = Abilities(
            name=f"this {model.config.model_type} model",
            options=frozenset({"word_timestamps"} if self._has_words else ()),
        )

    def check(self, options: TranscriptionOptions) -> None:
        check_options(options, self._abilities)

    @torch.inference_mode()
    def transcribe(
        self, chunks: Sequence[ChunkInContext], options: TranscriptionOptions, *, have_left: HaveLeft
    ) -> list[ChunkText]:
        if self._masks_padding:
            return self._transcribe(chunks)
        return one_by_one(lambda some, _: self._transcribe(some), chunks, have_left)

    def _transcribe(self, chunks: Sequence[ChunkInContext]) -> list[ChunkText]:
        padded = {"padding": True, "return_attention_mask": True} if self._masks_padding else {}
        waveforms = [np.concatenate([each.before, each.chunk.waveform, each.after]) for each in chunks]
        logits: Tensor = self._model(
            **self._audio.make(waveforms, **padded)
        ).logits  # (n_chunks, n_frames, n_vocab)
        probabilities, ids = logits.float().softmax(dim=-1).max(dim=-1)
        frame_s = max(map(len, waveforms)) / SAMPLE_RATE / logits.shape[1]
        texts = []
        for row, (each, waveform) in enumerate(zip(chunks, waveforms, strict=True)):
            n_frames = math.ceil(len(waveform) / SAMPLE_RATE / frame_s)  # The others are padding.
            tokens = list(self._collapse(ids[row, :n_frames].tolist(), probabilities[row].tolist()))
            texts.append(self._chunk_text(each, tokens, frame_s))
        return texts

    def _chunk_text(self, each: ChunkInContext, tokens: Sequence[_Token], frame_s: float) -> ChunkText:
        """Return the words whose middle lies in the chunk: its neighbour, which hears them too, has the others."""
        before_s, chunk_s = len(each.before) / SAMPLE_RATE, len(each.chunk.waveform) / SAMPLE_RATE
        begin_s = before_s if before_s else -math.inf
        end_s = before_s + chunk_s if len(each.after) else math.inf
        kept = [
            word
            for word in self._split_words(tokens)
            if begin_s <= (word[0].begin + word[-1].end) / 2 * frame_s < end_s
        ]
        kept_tokens = tuple(token.id for word in kept for token in word)
        if not self._has_words:
            spelled = self._spell([token for word in kept for token in word])
            return ChunkText(text=f" {spelled}" if spelled else "", tokens=kept_tokens)
        words = [self._word(word, frame_s).shifted(-before_s) for word in kept]
        words = [word for word in words if word.word.strip()]
        return ChunkText(text="".join(word.word for word in words), tokens=kept_tokens, words=tuple(words))

    def _collapse(self, ids: Sequence[int], probabilities: Sequence[float]) -> Iterator[_Token]:
        """Yield a token for each run of equal ids but the blank's, which only separates equal tokens."""
        begin = 0
        for index in range(1, len(ids) + 1):
            if index < len(ids) and ids[index] == ids[begin]:
                continue
            if ids[begin] != self._blank and ids[begin] not in self._skipped:
                mean = sum(probabilities[begin:index]) / (index - begin)
                yield _Token(id=ids[begin], begin=begin, end=index, probability=mean)
            begin = index

    def _split_words(self, tokens: Sequence[_Token]) -> list[list[_Token]]:
        """Split at the delimiter, which belongs to no word, and before tokens that begin a word.

        A vocabulary that has neither, as for languages that are written without spaces, is split into its tokens.
        """
        words: list[list[_Token]] = [[]]
        for token in tokens:
            if token.id == self._delimiter:
                words.append([])
                continue
            if not self._has_words or self._tokenizer.convert_ids_to_tokens(token.id).startswith(WORD_STARTS):
                words.append([])
            words[-1].append(token)
        return [word for word in words if word]

    def _word(self, tokens: Sequence[_Token], frame_s: float) -> Word:
        return Word(
            word=f" {self._spell(tokens)}",
            start=tokens[0].begin * frame_s,
            end=tokens[-1].end * frame_s,
            probability=fmean(token.probability for token in tokens),
        )

    def _spell(self, tokens: Sequence[_Token]) -> str:
        spelled = self._tokenizer.convert_ids_to_tokens([token.id for token in tokens])
        if hasattr(self._tokenizer, "word_delimiter_token"):  # wav2vec2's own class
            text: str = self._tokenizer.convert_tokens_to_string(spelled, group_tokens=False)["text"]
        else:
            text = self._tokenizer.convert_tokens_to_string(spelled)
        return text.strip()


def _blank_token(model: Any, tokenizer: Any) -> int:
    """Return the blank's id: by the configuration the padding's, else the tokenizer's padding."""
    for owner in (model.config, tokenizer):
        if (token := getattr(owner, "blank_token_id", None)) is not None:
            return int(token)
    token = model.config.pad_token_id if model.config.pad_token_id is not None else tokenizer.pad_token_id
    return int(token)


def _has_words(tokenizer: Any) -> bool:
    vocabulary = tokenizer.get_vocab()
    if getattr(tokenizer, "word_delimiter_token", None) in vocabulary:
        return True
    return any(token.startswith(WORD_STARTS) for token in vocabulary)
