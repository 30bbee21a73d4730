"""Whisper by transformers' own `generate`: timestamps, fallback, prompts, languages, and words by alignment.

A chunk whose text ends before its speech does is decoded again from there, as in openai/whisper's `transcribe`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hf_asr_endpoint.audio.chunking import Chunk
from hf_asr_endpoint.errors import UnsupportedValue
from hf_asr_endpoint.transcription.model_limits import check_language_and_task, check_suppress_tokens
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transcription.word_split import split_words
from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.family import ChunkText, Piece, ShouldStop
from hf_asr_endpoint.transformers_models.generation import generation_arguments
from hf_asr_endpoint.transformers_models.limits import GENERATION, THRESHOLDS, Abilities, check_options
from hf_asr_endpoint.types import TranscriptionOptions, Waveform, Word
from hf_asr_endpoint.units import SAMPLE_RATE
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer

MIN_REST_S = 0.5
"""Speech that is left at the end of a chunk is decoded if there is more than this."""

N_INITIAL_TOKENS = 4  # sot, language, task, no_timestamps, at most

_OPTIONS = GENERATION | THRESHOLDS | {"task", "language", "prompt", "hotwords"}


@dataclass(slots=True)
class _Row:
    """A chunk while it is decoded. done_s: seconds from its beginning whose text is there."""

    chunk: Chunk
    language: str | None
    done_s: float = 0.0
    pieces: list[Piece] = field(default_factory=list)

    @property
    def rest(self) -> Waveform:
        return self.chunk.waveform[round(self.done_s * SAMPLE_RATE) :]

    @property
    def rest_s(self) -> float:
        """Seconds up to the end of the speech."""
        return self.chunk.speech[-1].end_s - self.done_s


class WhisperFamily:
    """A Family. What it tells of languages is what the model tells: no_speech_prob and avg_logprob stay inside."""

    def __init__(
        self, model: Any, tokenizer: WhisperTokenizer, audio: AudioInput, *, is_multilingual: bool
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._audio = audio
        self._vocabulary = Vocabulary(tokenizer, is_multilingual=is_multilingual)
        self.detects_language = is_multilingual
        self._times_words = bool(getattr(model.generation_config, "alignment_heads", None))
        self._has_own_length = model.generation_config.max_length is not None
        options = set(_OPTIONS)
        if is_multilingual:
            options.add("detects_language_only")
        if self._times_words:
            options.add("word_timestamps")
        self._abilities = Abilities(
            name="Whisper on the transformers engine", options=frozenset(options), samples=True, falls_back=True
        )

    def check(self, options: TranscriptionOptions) -> None:
        check_options(options, self._abilities)
        check_language_and_task(self._tokenizer, options, is_multilingual=self.detects_language)
        check_suppress_tokens(self._tokenizer, options.decoding)
        decoding = options.decoding
        if options.word_timestamps and decoding.beams.num_beams > 1:
            raise UnsupportedValue(
                f"num_beams is {decoding.beams.num_beams}, but this engine times words of greedy decoding only; "
                "allowed with words: 1",
                parameter="num_beams",
            )
        thresholds = decoding.thresholds
        if thresholds.logprob_threshold is None and thresholds.no_speech_threshold is not None:
            raise UnsupportedValue(
                "logprob_threshold is off, but this engine's no_speech_threshold needs it; "
                "allowed: a number, or no_speech_threshold off as well",
                parameter="logprob_threshold",
            )

    @torch.inference_mode()
    def transcribe(
        self, chunks: Sequence[Chunk], options: TranscriptionOptions, *, should_stop: ShouldStop
    ) -> list[ChunkText]:
        rows = [_Row(chunk, options.language) for chunk in chunks]
        probabilities: list[float | None] = [None] * len(rows)
        if self.detects_language and options.language is None:
            for index, (language, probability) in enumerate(self._detect(rows)):
                rows[index].language, probabilities[index] = language, probability
        if not options.detects_language_only:
            waiting = rows
            while waiting and not should_stop():
                waiting = self._decode(waiting, options, should_stop)
        return [
            ChunkText(
                pieces=tuple(row.pieces),
                language=row.language if self.detects_language else "en",
                language_probability=probability,
            )
            for row, probability in zip(rows, probabilities, strict=True)
        ]

    def _detect(self, rows: Sequence[_Row]) -> Iterator[tuple[str, float]]:
        """Yield each chunk's language and its probability among all languages."""
        codes = list(self._tokenizer.language_tokens)
        tokens = [self._tokenizer.language_tokens[code] for code in codes]
        start = torch.full((len(rows), 1), self._tokenizer.sot, device=self._model.device)
        logits: Tensor = self._model(**self._features(rows), decoder_input_ids=start).logits[:, -1, tokens]
        for best, index in zip(*logits.float().softmax(dim=-1).max(dim=-1), strict=True):
            yield codes[int(index)], float(best)

    def _features(self, rows: Sequence[_Row]) -> dict[str, Tensor]:
        """Return whole windows: what follows a chunk is silence."""
        return self._audio.make([row.rest for row in rows], return_attention_mask=False)

    def _decode(self, rows: Sequence[_Row], options: TranscriptionOptions, should_stop: ShouldStop) -> list[_Row]:
        """Add what comes next to the rows' pieces. Returns those that have speech left."""
        has_words = options.wants_words and self._times_words and options.decoding.beams.num_beams == 1
        with _own_attention(self._model):
            output = self._model.generate(
                **self._features(rows),
                return_timestamps=True,
                return_segments=True,
                return_token_timestamps=has_words,
                force_unique_generate_call=True,
                **self._arguments(rows, options, should_stop),
            )
        unfinished = []
        for row, segments in zip(rows, output["segments"], strict=True):
            before_s = row.done_s
            for segment in segments:
                row.pieces += self._pieces(row, segment, before_s, has_words=has_words)
            row.done_s = before_s + (float(segments[-1]["end"]) if segments else 0.0)
            if row.done_s > before_s + MIN_REST_S and row.rest_s > MIN_REST_S:
                unfinished.append(row)
        return unfinished

    def _arguments(
        self, rows: Sequence[_Row], options: TranscriptionOptions, should_stop: ShouldStop
    ) -> dict[str, Any]:
        decoding = options.decoding
        own = tuple(self._model.generation_config.suppress_tokens or ())
        arguments = generation_arguments(decoding, own_suppressed=own, should_stop=should_stop)
        temperatures = decoding.temperatures
        arguments["temperature"] = temperatures if len(temperatures) > 1 else temperatures[0]
        thresholds = decoding.thresholds
        arguments |= {
            "compression_ratio_threshold": thresholds.compression_ratio_threshold,
            "logprob_threshold": thresholds.logprob_threshold,
            "no_speech_threshold": thresholds.no_speech_threshold,
        }
        if self.detects_language:
            arguments |= {"language": [row.language for row in rows], "task": options.task}
        previous = self._previous(options)
        if previous:
            arguments["prompt_ids"] = torch.tensor(previous, device=self._model.device)
        capacity = self._model.config.max_target_positions - len(previous) - N_INITIAL_TOKENS
        if "max_length" not in arguments:
            given = arguments.get("max_new_tokens", capacity)
            arguments["max_new_tokens"] = min(given, capacity)
        return arguments

    def _previous(self, options: TranscriptionOptions) -> tuple[int, ...]:
        """Return the decoder prompt's part before sot: hotwords and the text that was said before."""
        vocabulary = self._vocabulary
        prompt = vocabulary.prompt(
            language_token=next(iter(self._tokenizer.language_tokens.values()), None),
            task=options.task,
            hotwords=vocabulary.encode(options.hotwords or ""),
            previous=vocabulary.encode(options.prompt or ""),
        )
        return prompt.tokens[: prompt.sot_index]

    def _pieces(self, row: _Row, segment: dict[str, Any], before_s: float, *, has_words: bool) -> Iterator[Piece]:
        """Yield a segment of `generate`, if it has a text. before_s: of the chunk before the decoded window."""
        tokens = segment["tokens"].tolist()
        text = self._vocabulary.decode(tokens)
        if text.strip():
            words = self._words(row, segment, before_s) if has_words else ()
            yield Piece(
                start=before_s + float(segment["start"]),
                end=before_s + float(segment["end"]),
                text=text,
                tokens=tuple(tokens),
                words=tuple(words),
            )

    def _words(self, row: _Row, segment: dict[str, Any], before_s: float) -> Iterator[Word]:
        """Yield a segment's words. A token lasts from its own time to that of the next one."""
        times = [before_s + seconds for seconds in segment["token_timestamps"].tolist()]
        timed = list(zip(segment["tokens"].tolist(), times, strict=True))
        text = [(token, index) for index, (token, _) in enumerate(timed) if token < self._tokenizer.eot]
        times.append(before_s + float(segment["end"]))
        language = row.language if self.detects_language else "en"
        for word in split_words([token for token, _ in text], language=language, decode=self._vocabulary.decode):
            first, last = text[word.spoken.start][1], text[word.spoken.stop - 1][1]
            yield Word(
                word=word.text, start=times[first], end=max(times[first], times[last + 1]), probability=None
            )


@contextmanager
def _own_attention(model: Any) -> Iterator[None]:
    """Restore the model's attention after a call: one that times words would make all later ones slower."""
    config = model.model.config
    before = config._attn_implementation
    try:
        yield
    finally:
        config._attn_implementation = before
