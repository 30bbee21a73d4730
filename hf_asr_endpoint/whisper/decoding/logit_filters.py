"""A checkpoint's rules about its tokens: what may come next, and what tells language and silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from hf_asr_endpoint.types import MODELS_OWN_TOKENS
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.decoding.state import DecodingState


class LogitFilter(Protocol):
    """One rule."""

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        """Change scores in place; a token that is not allowed gets -inf. states: one for each row."""
        ...


class RepetitionPenalty:
    """Tokens of the prompt and of the text so far are less likely (Keskar et al. 2019, arXiv 1909.05858).

    Scores above 0 are divided by the penalty, others are multiplied, as by transformers'
    RepetitionPenaltyLogitsProcessor. Scores are logits, and log-probabilities in the rows of beams.
    """

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        for row, state in enumerate(states):
            penalty = state.rules.options.repetition_penalty
            if penalty != 1:
                seen = torch.tensor([*state.fed_prompt, *state.sampled], device=logits.device)
                scores = logits[row, seen]
                logits[row, seen] = torch.where(scores < 0, scores * penalty, scores / penalty)


class SuppressTokens:
    """Tokens that never come: what is not spoken, and special tokens, unless a row has a list of its own."""

    def __init__(self, tokens: Sequence[int], device: torch.device, *, always: Sequence[int] = ()) -> None:
        """always: tokens that do not come whatever a row's list says."""
        self._models_own = tuple(tokens)
        self._always = tuple(always)
        self._device = device
        self._tokens = self._tensor(tokens)

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        lists = [state.rules.options.suppress_tokens for state in states]
        if all(own is None for own in lists):
            logits.index_fill_(1, self._tokens, -torch.inf)
            return
        for row, own in enumerate(lists):
            logits[row].index_fill_(0, self._tokens if own is None else self._tensor(self._whole(own)), -torch.inf)

    def _whole(self, own: Sequence[int]) -> Sequence[int]:
        """Put the model's tokens in the place of what stands for them."""
        if MODELS_OWN_TOKENS not in own:
            return own
        return [*self._models_own, *(token for token in own if token != MODELS_OWN_TOKENS)]

    def _tensor(self, tokens: Sequence[int]) -> Tensor:
        return torch.tensor([*tokens, *self._always], dtype=torch.int64, device=self._device)


class SuppressAtBegin:
    """Tokens that do not come first: a blank, and the end."""

    def __init__(self, tokens: Sequence[int], device: torch.device) -> None:
        self._tokens = torch.tensor(tokens, dtype=torch.int64, device=device)

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        for row, state in enumerate(states):
            if not state.sampled:
                logits[row].index_fill_(0, self._tokens, -torch.inf)


class MinNewTokens:
    """No end before the least number of tokens."""

    def __init__(self, eot: int) -> None:
        self._eot = eot

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        for row, state in enumerate(states):
            if len(state.sampled) < state.rules.min_new_tokens:
                logits[row, self._eot] = -torch.inf


class TimestampRules:
    """Timestamps come first, in pairs, never go back, and win when together they are likelier than any text."""

    def __init__(
        self, *, timestamp_begin: int, eot: int, n_vocab: int, max_initial_index: int | None, device: torch.device
    ) -> None:
        """max_initial_index: the latest first timestamp, in steps of 0.02 s; None allows any."""
        self._begin = timestamp_begin
        self._eot = eot
        self._end = n_vocab
        self._max_initial_end = n_vocab if max_initial_index is None else timestamp_begin + max_initial_index + 1
        self._ids = torch.arange(timestamp_begin, n_vocab, device=device)

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        bounds = [self._bounds(state.sampled) for state in states]
        lowest, end = torch.tensor([b[:2] for b in bounds], device=logits.device).t()[:, :, None]
        text, timestamps = logits[:, : self._begin], logits[:, self._begin :]
        timestamps.masked_fill_((self._ids < lowest) | (self._ids >= end), -torch.inf)
        for row, (*_, n_forbidden) in enumerate(bounds):
            logits[row, :n_forbidden] = -torch.inf
        wins = timestamps.logsumexp(dim=1) > text.amax(dim=1)
        for row in wins.nonzero().flatten().tolist():
            text[row] = -torch.inf

    def _bounds(self, sampled: Sequence[int]) -> tuple[int, int, int]:
        """Return the range of timestamps that may come next, and how many ids from 0 on may not."""
        if not sampled:
            return self._begin, self._max_initial_end, self._begin
        last_is_timestamp = sampled[-1] >= self._begin
        opens = last_is_timestamp and (len(sampled) < 2 or sampled[-2] >= self._begin)
        if opens:
            return self._end, self._end, 0  # Text has to come before the next timestamp.
        last = next((token for token in reversed(sampled) if token >= self._begin), None)
        if last_is_timestamp:
            assert last is not None
            return last, self._end, self._eot  # The next segment begins, or the end comes.
        return (self._begin if last is None else last + 1), self._end, 0


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
            RepetitionPenalty(),
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
