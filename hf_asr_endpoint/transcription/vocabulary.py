"""Text, languages and tasks to token ids and back, for one checkpoint's vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

from hf_asr_endpoint.transcription.segments import TimedWindow, split_at_timestamps
from hf_asr_endpoint.types import Task, TokenLogprob
from hf_asr_endpoint.units import MAX_TARGET_POSITIONS
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt, DecodingState

MAX_PREVIOUS_TOKENS = MAX_TARGET_POSITIONS // 2 - 1  # as in openai/whisper: half of what the decoder holds


class Vocabulary:
    """Prompts to token ids, token ids to timed text. English-only models have no language or task tokens."""

    def __init__(self, tokenizer: WhisperTokenizer, *, is_multilingual: bool) -> None:
        self._tokenizer = tokenizer
        self.is_multilingual = is_multilingual

    def prompt(
        self,
        *,
        language_token: int | None,
        task: Task,
        hotwords: Sequence[int] = (),
        previous: Sequence[int] = (),
    ) -> DecoderPrompt:
        """Return a decoder prompt. previous: tokens of the previous text.

        language_token: unused by English-only models; the others need one.
        What does not fit is cut: hotwords at their end, the previous text at its beginning.
        """
        before: tuple[int, ...] = ()
        if hotwords or previous:
            kept = tuple(hotwords[:MAX_PREVIOUS_TOKENS])
            capacity = MAX_PREVIOUS_TOKENS - len(kept)
            before = (self._tokenizer.sot_prev, *kept, *previous[max(len(previous) - capacity, 0) :])
        tokens = (*before, self._tokenizer.sot)
        if not self.is_multilingual:
            return DecoderPrompt(tokens=tokens, sot_index=len(before))
        assert language_token is not None, "a multilingual model takes this for another task"
        tokens = (*tokens, language_token, self._tokenizer.task_tokens[task])
        return DecoderPrompt(tokens=tokens, sot_index=len(before))

    def prompt_without_timestamps(self, state: DecodingState) -> tuple[int, ...]:
        """Return a state's prompt without the previous text, followed by no_timestamps."""
        return (*state.prompt.tokens[state.prompt.sot_index :], self._tokenizer.no_timestamps)

    def capacity(self, n_prompt: int) -> int:
        """Return how many tokens the decoder takes behind a prompt."""
        return MAX_TARGET_POSITIONS - n_prompt

    def beginning(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Return text tokens as the beginning of a window's text: behind the timestamp 0."""
        return (self._tokenizer.timestamp_begin, *tokens)

    def text_tokens(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Return the text tokens among `tokens`."""
        return tuple(token for token in tokens if token < self._tokenizer.eot)

    def split(self, tokens: Sequence[int], *, window_s: float) -> TimedWindow:
        """Return the timed text of a window with `window_s` seconds of audio."""
        return split_at_timestamps(tokens, timestamp_begin=self._tokenizer.timestamp_begin, window_s=window_s)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the text tokens among `tokens`."""
        return self._tokenizer.decode(tokens)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return a text's tokens as in a prompt: with a leading space, as decoded text has."""
        return tuple(self._tokenizer.encode(f" {text.strip()}")) if text.strip() else ()

    def token_logprobs(self, tokens: Sequence[int], logprobs: Sequence[float]) -> tuple[TokenLogprob, ...]:
        """Return the text tokens' bytes with their log-probabilities."""
        return tuple(
            TokenLogprob(token=self._tokenizer.token_bytes(token), logprob=logprob)
            for token, logprob in zip(tokens, logprobs, strict=True)
            if token < self._tokenizer.eot
        )

    def language_token(self, language: str | None) -> int | None:
        """Return a language's token; None when it is to be detected or the model has no language tokens."""
        if language is None or not self.is_multilingual:
            return None
        return self._tokenizer.language_tokens[language]

    def language_tokens(self, languages: Sequence[str]) -> tuple[int, ...]:
        """Return the tokens of these languages; without any, of all that the model has."""
        return tuple(
            self._tokenizer.language_tokens[code] for code in languages or self._tokenizer.language_tokens
        )

    def language_of(self, state: DecodingState) -> str | None:
        """Return the language in a state's prompt; "en" for an English-only model."""
        return self.language(state.prompt.tokens[state.prompt.sot_index + 1]) if self.is_multilingual else "en"

    def language(self, token: int | None) -> str | None:
        """Return a token's language; "en" for an English-only model, None when the token is None."""
        if not self.is_multilingual:
            return "en"
        return next((code for code, known in self._tokenizer.language_tokens.items() if known == token), None)
