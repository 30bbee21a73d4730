"""transformers' own results for a window, and when a different answer is equally good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transformers_models.whisper_calls import WhisperCalls
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt

TIE = 1e-3
"""Logits closer than this are a tie: the order of float32 additions decides it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Greedy tokens after the prompt, including eot, and the filtered logits of each step."""

    tokens: list[int]
    scores: list[Tensor]  # each (n_vocab,)

    def difference(self, other: Sequence[int]) -> float | None:
        """Return the difference of logits where the other tokens first differ; None if they are equal."""
        for scores, own, token in zip(self.scores, self.tokens, other, strict=False):
            if own != token:
                return float(scores[own] - scores[token])
        return None if len(self.tokens) == len(other) else torch.inf


class Oracle:
    """transformers' functions for one checkpoint and one window at a time."""

    def __init__(self, directory: Path, checkpoint: WhisperCheckpoint) -> None:
        """checkpoint: the same directory's, for its tokens. The weights are read again."""
        self._checkpoint = checkpoint
        self._model = WhisperForConditionalGeneration.from_pretrained(directory, dtype=torch.float32)
        self._model.eval()
        self._calls = WhisperCalls(self._model, checkpoint.tokenizer, is_multilingual=checkpoint.is_multilingual)
        self._vocabulary = Vocabulary(checkpoint.tokenizer, is_multilingual=checkpoint.is_multilingual)

    def encode(self, window: Tensor) -> Tensor:
        """Return the encoder's features, shape = (n_positions, d_model)."""
        return self._calls.encode(window[None])[0]

    @torch.inference_mode()
    def encode_cut(self, window: Tensor) -> Tensor:
        """Return the features of less than 30 s. transformers' encoder refuses this, so call its parts."""
        encoder = self._model.model.encoder
        x = torch.nn.functional.gelu(encoder.conv1(window[None]))
        x = torch.nn.functional.gelu(encoder.conv2(x)).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        for layer in encoder.layers:
            x = layer(x, None)
        features: Tensor = encoder.layer_norm(x)[0]
        return features

    def generate(
        self,
        features: Tensor,
        *,
        language: str,
        previous: Sequence[int] = (),
        arguments: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Decode greedily with timestamps, until eot or the capacity of the decoder.

        previous: the previous text, without sot_prev. arguments: more arguments of transformers' `generate`.
        """
        prompt = self._prompt(language, previous)
        (decoded,) = self._calls.generate(
            self._calls.hear([features]), [prompt], arguments or {}, keeps_scores=True
        )
        return Answer(tokens=list(decoded.tokens), scores=list(decoded.scores))

    def search(self, features: Tensor, *, language: str, arguments: Mapping[str, Any]) -> tuple[list[int], float]:
        """Decode with beams. arguments: of transformers' `generate`.

        Returns the tokens after the prompt, including eot, and the score of this text.
        """
        (decoded,) = self._calls.generate(self._calls.hear([features]), [self._prompt(language)], arguments)
        assert decoded.score is not None
        return list(decoded.tokens), decoded.score

    def _prompt(self, language: str, previous: Sequence[int] = ()) -> DecoderPrompt:
        token = self._vocabulary.language_token(language)
        return self._vocabulary.prompt(language_token=token, task="transcribe", previous=previous)

    @torch.inference_mode()
    def language(self, features: Tensor) -> str:
        """Return the language's code."""
        if not self._checkpoint.is_multilingual:
            return "en"
        output = BaseModelOutput(features[None])
        detected = self._model.detect_language(encoder_outputs=output).item()
        codes = {token: code for code, token in self._checkpoint.tokenizer.language_tokens.items()}
        return codes[int(detected)]

    def language_logprobs(self, features: Tensor) -> dict[int, float]:
        """Return each language token's log-probability among the language tokens, by the logits after sot."""
        tokens = sorted(self._checkpoint.tokenizer.language_tokens.values())
        logits = self._calls.logits(self._calls.hear([features]), (self._checkpoint.tokenizer.sot,))[0, 0]
        return dict(zip(tokens, logits[tokens].log_softmax(dim=0).tolist(), strict=True))

    def no_speech_prob(self, features: Tensor, prompt: DecoderPrompt) -> float:
        """Return P(no_speech) at sot, as transformers' WhisperNoSpeechDetection does."""
        logits = self._calls.logits(self._calls.hear([features]), prompt.tokens)[0, prompt.sot_index]
        return float(logits.softmax(dim=0)[self._checkpoint.tokenizer.no_timestamps - 1])
