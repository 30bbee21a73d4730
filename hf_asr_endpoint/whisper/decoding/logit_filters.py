"""A checkpoint's rules about its tokens: which may come next, and which stand for languages and for silence.

Knows logits and the states of their rows. Does not know how a token is chosen from filtered logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores

Sections = tuple[tuple[int, int], tuple[int, int]]
"""From which and to which id text is allowed, and timestamps."""


class LogitFilter(Protocol):
    """One rule about the next token."""

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        """Change scores in place; a token that is not allowed gets -inf. states: one for each row."""
        ...


class RepetitionPenalty:
    """Makes tokens of the prompt and of the text so far less likely (Keskar et al. 2019, arXiv 1909.05858).

    Divides scores above 0 by the penalty and multiplies the others, like transformers'
    RepetitionPenaltyLogitsProcessor. Scores are log-probabilities in the rows of beams, elsewhere logits.
    """

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        for row, state in enumerate(states):
            penalty = state.rules.options.repetition_penalty
            if penalty != 1:
                seen = torch.tensor([*state.prompt.tokens, *state.sampled], device=logits.device)
                scores = logits[row, seen]
                logits[row, seen] = torch.where(scores < 0, scores * penalty, scores / penalty)


class SuppressTokens:
    """Forbids the model's list of tokens that are not speech, or the row's own list (`suppress_tokens`)."""

    def __init__(self, tokens: Sequence[int], device: torch.device, *, always: Sequence[int] = ()) -> None:
        """tokens: the model's list. always: tokens that are forbidden in every row."""
        self._models_own = tuple(tokens)
        self._always = tuple(always)
        self._device = device
        self._tokens = self._tensor(tokens)

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        lists = [state.rules.options.suppress_tokens for state in states]
        if all(tokens is None for tokens in lists):
            logits.index_fill_(1, self._tokens, -torch.inf)
            return
        for row, tokens in enumerate(lists):
            forbidden = self._tokens if tokens is None else self._tensor(self._with_models_own(tokens))
            logits[row].index_fill_(0, forbidden, -torch.inf)

    def _with_models_own(self, tokens: Sequence[int]) -> Sequence[int]:
        """Replace MODELS_OWN_TOKENS with the model's list."""
        if MODELS_OWN_TOKENS not in tokens:
            return tokens
        return [*self._models_own, *(token for token in tokens if token != MODELS_OWN_TOKENS)]

    def _tensor(self, tokens: Sequence[int]) -> Tensor:
        return torch.tensor([*tokens, *self._always], dtype=torch.int64, device=self._device)


class SuppressAtBegin:
    """Forbids tokens as the first one: the blank and eot."""

    def __init__(self, tokens: Sequence[int], device: torch.device) -> None:
        self._tokens = torch.tensor(tokens, dtype=torch.int64, device=device)

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        for row, state in enumerate(states):
            if not state.sampled:
                logits[row].index_fill_(0, self._tokens, -torch.inf)


class MinNewTokens:
    """Forbids eot before `min_new_tokens` tokens."""

    def __init__(self, eot: int) -> None:
        self._eot = eot

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        for row, state in enumerate(states):
            if len(state.sampled) < state.rules.min_new_tokens:
                logits[row, self._eot] = -torch.inf


class TimestampRules:
    """Timestamps come first, in pairs and in order, as in openai/whisper's ApplyTimestampRules.

    When all timestamps together are likelier than any other token, only timestamps are allowed.
    """

    def __init__(
        self, *, timestamp_begin: int, eot: int, n_vocab: int, max_initial_index: int | None, device: torch.device
    ) -> None:
        """max_initial_index: the maximum of the first timestamp, in steps of 0.02 s; None allows all."""
        self._begin = timestamp_begin
        self._eot = eot
        self._end = n_vocab
        self._max_initial_end = n_vocab if max_initial_index is None else timestamp_begin + max_initial_index + 1
        self._ids = torch.arange(timestamp_begin, n_vocab, device=device)

    def apply(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        bounds = [self.bounds(state.sampled) for state in states]
        begin, end = torch.tensor([b[:2] for b in bounds], device=logits.device).t()[:, :, None]
        text, timestamps = logits[:, : self._begin], logits[:, self._begin :]
        timestamps.masked_fill_((self._ids < begin) | (self._ids >= end), -torch.inf)
        for row, (*_, n_forbidden) in enumerate(bounds):
            logits[row, :n_forbidden] = -torch.inf
        must_be_timestamp = timestamps.logsumexp(dim=1) > text.amax(dim=1)
        for row in must_be_timestamp.nonzero().flatten().tolist():
            text[row] = -torch.inf

    def bounds(self, sampled: Sequence[int]) -> tuple[int, int, int]:
        """Return the begin and end of the allowed timestamps, and the number of forbidden ids from 0 on."""
        if not sampled:
            return self._begin, self._max_initial_end, self._begin
        last_is_timestamp = sampled[-1] >= self._begin
        is_segment_start = last_is_timestamp and (len(sampled) < 2 or sampled[-2] >= self._begin)
        if is_segment_start:
            return self._end, self._end, 0  # Text must come before the next timestamp.
        last = next((token for token in reversed(sampled) if token >= self._begin), None)
        if last_is_timestamp:
            assert last is not None
            return last, self._end, self._eot  # The start of the next segment, or eot.
        return (self._begin if last is None else last + 1), self._end, 0


class TokenRules:
    """All logit filters of a checkpoint, from its generation config; also reads the logits after sot."""

    def __init__(self, checkpoint: WhisperCheckpoint) -> None:
        tokenizer, config = checkpoint.tokenizer, checkpoint.generation_config
        device = checkpoint.tensors.device
        self.eot = tokenizer.eot
        self._no_speech = tokenizer.no_timestamps - 1
        self._languages = torch.tensor(sorted(tokenizer.language_tokens.values()), device=device)
        known = range(checkpoint.config.vocab_size)  # Some fine-tuned models keep the lists of another vocabulary.
        suppressed, at_begin = (
            [token for token in tokens if token in known]
            for tokens in (config.suppress_tokens, config.begin_suppress_tokens)
        )
        self.usually_suppressed = [*suppressed, tokenizer.no_timestamps]
        """Tokens that a row forbids whose request has no list of its own."""
        self.timestamp_begin = tokenizer.timestamp_begin
        self._timestamps = TimestampRules(
            timestamp_begin=tokenizer.timestamp_begin,
            eot=tokenizer.eot,
            n_vocab=checkpoint.config.vocab_size,
            max_initial_index=config.max_initial_timestamp_index,
            device=device,
        )
        self._filters: list[LogitFilter] = [
            RepetitionPenalty(),
            SuppressTokens(suppressed, device, always=[tokenizer.no_timestamps]),
            SuppressAtBegin(at_begin, device),
            MinNewTokens(tokenizer.eot),
            self._timestamps,
        ]

    def filter(self, logits: Tensor, states: Sequence[DecodingState]) -> None:
        """Apply all filters in place. logits: shape = (n_rows, n_vocab). states: one for each row."""
        for logit_filter in self._filters:
            logit_filter.apply(logits, states)

    def sections(self, state: DecodingState) -> Sections | None:
        """Return which tokens a row may have next, but for `usually_suppressed`: ranges of text and of timestamps.

        None where other rules apply to the row, or it does not take the likeliest token.
        """
        if not _is_plain(state):
            return None
        begin, end, n_forbidden = self._timestamps.bounds(state.sampled)
        return (n_forbidden, self.timestamp_begin), (begin, end)

    def no_speech_probs(self, logits: Tensor) -> list[float]:
        """Return P(no_speech) for each row. logits: after sot, unfiltered."""
        probabilities: list[float] = (logits[:, self._no_speech] - logits.logsumexp(dim=1)).exp().tolist()
        return probabilities

    def language_scores(self, logits: Tensor) -> list[LanguageScores]:
        """Return each row's scores. logits: after sot, unfiltered."""
        tokens: list[int] = self._languages.tolist()
        logprobs: list[list[float]] = logits[:, self._languages].log_softmax(dim=1).tolist()
        return [
            LanguageScores(logprobs=dict(zip(tokens, row, strict=True)), no_speech_prob=no_speech_prob)
            for row, no_speech_prob in zip(logprobs, self.no_speech_probs(logits), strict=True)
        ]


def _is_plain(state: DecodingState) -> bool:
    """Return whether a row takes the likeliest token by the rules that all have. It has a token already."""
    options = state.rules.options
    return (
        state.search is None
        and state.rules.temperature == 0
        and options.repetition_penalty == 1
        and options.suppress_tokens is None
        and len(state.sampled) >= max(state.rules.min_new_tokens, 1)
    )
