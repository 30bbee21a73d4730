"""Models trained with connectionist temporal classification, such as wav2vec2, HuBERT, MMS and Parakeet.

They give a token or a blank for each frame, so that words have times; they know one language and have no options.
Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.family import ChunkText, ShouldStop, whole_chunk
from hf_asr_endpoint.transformers_models.limits import Abilities, check_options
from hf_asr_endpoint.types import TranscriptionOptions, Word
from hf_asr_endpoint.units import SAMPLE_RATE

WORD_STARTS = ("\u2581", " ")
"""What tokens begin with that begin a word, in vocabularies of pieces of words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    """A token, the frames that gave it, and the mean of their probabilities."""

    id: int
    begin: int
    end: int
    probability: float


class CtcFamily:
    """A Family. The most probable token of each frame counts; there is no language model."""

    detects_language = False

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
        self._times_words = _has_words(tokenizer)
        self._abilities = Abilities(
            name=f"this {model.config.model_type} model",
            options=frozenset({"word_timestamps"} if self._times_words else ()),
        )

    def check(self, options: TranscriptionOptions) -> None:
        check_options(options, self._abilities)

    @torch.inference_mode()
    def transcribe(
        self, chunks: Sequence[Chunk], options: TranscriptionOptions, *, should_stop: ShouldStop
    ) -> list[ChunkText]:
        if self._masks_padding:
            return self._transcribe(chunks)
        return [self._transcribe([chunk])[0] for chunk in chunks if not should_stop()]

    def _transcribe(self, chunks: Sequence[Chunk]) -> list[ChunkText]:
        padded = {"padding": True, "return_attention_mask": True} if self._masks_padding else {}
        inputs = self._audio.make([chunk.waveform for chunk in chunks], **padded)
        logits: Tensor = self._model(**inputs).logits  # (n_chunks, n_frames, n_vocab)
        probabilities, ids = logits.float().softmax(dim=-1).max(dim=-1)
        longest_s = max(len(chunk.waveform) for chunk in chunks) / SAMPLE_RATE
        frame_s = longest_s / logits.shape[1]
        return [
            self._chunk_text(chunk, row.tolist(), row_probabilities.tolist(), frame_s)
            for chunk, row, row_probabilities in zip(chunks, ids, probabilities, strict=True)
        ]

    def _chunk_text(self, chunk: Chunk, ids: list[int], probabilities: list[float], frame_s: float) -> ChunkText:
        n_frames = math.ceil(len(chunk.waveform) / SAMPLE_RATE / frame_s)  # The others are padding.
        tokens = list(self._collapse(ids[:n_frames], probabilities))
        words = [self._word(word, frame_s) for word in self._split_words(tokens)]
        words = [word for word in words if word.word.strip()]
        text = "".join(word.word for word in words)
        kept = words if self._times_words else ()
        return ChunkText(pieces=whole_chunk(chunk, text, [token.id for token in tokens], kept))

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
        """Split at the delimiter, which belongs to no word, and before tokens that begin a word."""
        words: list[list[_Token]] = [[]]
        for token in tokens:
            if token.id == self._delimiter:
                words.append([])
                continue
            if self._tokenizer.convert_ids_to_tokens(token.id).startswith(WORD_STARTS):
                words.append([])
            words[-1].append(token)
        return [word for word in words if word]

    def _word(self, tokens: Sequence[_Token], frame_s: float) -> Word:
        spelled = self._tokenizer.convert_ids_to_tokens([token.id for token in tokens])
        if hasattr(self._tokenizer, "word_delimiter_token"):  # wav2vec2's own class
            text = self._tokenizer.convert_tokens_to_string(spelled, group_tokens=False)["text"]
        else:
            text = self._tokenizer.convert_tokens_to_string(spelled)
        return Word(
            word=f" {text.strip()}",
            start=tokens[0].begin * frame_s,
            end=tokens[-1].end * frame_s,
            probability=sum(token.probability for token in tokens) / len(tokens),
        )


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
