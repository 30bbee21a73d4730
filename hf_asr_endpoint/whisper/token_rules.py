"""A checkpoint's rules about its tokens: what may come next, and what tells language and silence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.checkpoint import WhisperCheckpoint
from hf_asr_endpoint.whisper.decoding_state import DecodingState
from hf_asr_endpoint.whisper.logit_filters import (
    LogitFilter,
    MinNewTokens,
    SuppressAtBegin,
    SuppressTokens,
    TimestampRules,
)


class TokenRules:
    """Filters logits and reads the ones after sot. Made from the generation config, as transformers does."""

    def __init__(self, checkpoint: WhisperCheckpoint) -> None:
        tokenizer, config = checkpoint.tokenizer, checkpoint.generation_config
        device = checkpoint.tensors.device
        self.eot = tokenizer.eot
        self._no_speech = tokenizer.no_timestamps - 1
        self._languages = torch.tensor(sorted(tokenizer.language_tokens.values()), device=device)
        known = range(checkpoint.config.vocab_size)  # Some fine-tunes keep the lists of another vocabulary.
        suppressed, at_begin = (
            [token for token in tokens if token in known]
            for tokens in (config.suppress_tokens, config.begin_suppress_tokens)
        )
        self._filters: list[LogitFilter] = [
            SuppressTokens(suppressed, device, always=[tokenizer.no_timestamps]),
            SuppressAtBegin(at_begin, device),
            MinNewTokens(tokenizer.eot),
            TimestampRules(
                timestamp_begin=tokenizer.timestamp_begin,
                eot=tokenizer.eot,
                n_vocab=checkpoint.config.vocab_size,
                max_initial_index=config.max_initial_timestamp_index,
                device=device,
            ),
        ]

    def filter(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        """Set what may not come next to -inf. logits: shape = (n_rows, n_vocab)."""
        for logit_filter in self._filters:
            logit_filter.apply(logits, states)

    def no_speech_probs(self, logits: Tensor) -> list[float]:
        """Return P(no_speech) for logits after sot."""
        probabilities: list[float] = (logits[:, self._no_speech] - logits.logsumexp(dim=1)).exp().tolist()
        return probabilities

    def languages(self, logits: Tensor) -> list[int]:
        """Return the likeliest language's token for logits after sot."""
        likeliest: list[int] = self._languages[logits[:, self._languages].argmax(dim=1)].tolist()
        return likeliest
