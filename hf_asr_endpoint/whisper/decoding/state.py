"""One attempt at decoding one window: what it begins with, the rules for its tokens, and how far it has come.

Knows token ids only. Imports no torch, so that whoever schedules these need not either.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hf_asr_endpoint.types import BeamOptions, ContrastiveOptions, DecodingOptions
from hf_asr_endpoint.whisper.decoding.beam_search import BeamSearch, DiverseSearch, Hypothesis
from hf_asr_endpoint.whisper.decoding.contrastive_search import ContrastiveSearch

DEFAULT_OPTIONS = DecodingOptions()

Search = BeamSearch | DiverseSearch | ContrastiveSearch


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPrompt:
    """All ids fed before sampling: [sot_prev, previous text…] sot [language, task].

    sot_index: where sot is; what follows it tells speech from silence, and the language.
    after_language: None when `tokens` is complete; otherwise `tokens` ends with sot, the model detects the
    language, and these tokens (the task's) follow the language's.
    """

    tokens: tuple[int, ...]
    sot_index: int = 0
    after_language: tuple[int, ...] | None = None

    @property
    def length(self) -> int:
        """Tokens in the whole prompt, a language yet to be detected included."""
        return len(self.tokens) + (0 if self.after_language is None else 1 + len(self.after_language))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRules:
    """The caller's options, and what they come to in one attempt at one window.

    temperature: 0 takes the likeliest token or searches, above 0 samples. seed: of this sample.
    """

    options: DecodingOptions = DEFAULT_OPTIONS
    max_new_tokens: int
    min_new_tokens: int = 0
    temperature: float = 0.0
    seed: int = 0

    @property
    def beams(self) -> BeamOptions | None:
        """The beam search of this attempt, if it is one."""
        is_search = self.temperature == 0 and self.options.beams.num_beams > 1
        return self.options.beams if is_search and self.contrast is None else None

    @property
    def contrast(self) -> ContrastiveOptions | None:
        """The contrastive search of this attempt, if it is one."""
        is_search = self.temperature == 0 and self.options.contrast.penalty_alpha > 0
        return self.options.contrast if is_search else None

    @property
    def best_of(self) -> int:
        """Samples to choose from; 1 at temperature 0."""
        return self.options.best_of if self.temperature > 0 else 1


@dataclass(slots=True, kw_only=True)
class DecodingState:
    """Tokens so far, in one slot. The model alone changes it."""

    prompt: DecoderPrompt
    rules: AttemptRules
    language_token: int | None = None
    """Given by the model when the prompt asks for it."""
    no_speech_prob: float = 0.0
    """P(no_speech) at sot."""
    sampled: list[int] = field(default_factory=list)
    """Tokens after the prompt, timestamps among them, without eot."""
    logprobs: list[float] = field(default_factory=list)
    """Of the sampled tokens, and of eot when it has come."""
    is_finished: bool = False
    is_cut_off: bool = False
    """Whether the end is only that of the rules' most tokens."""
    search: Search | None = None
    """The one that this is a beam or a candidate of; it knows them in the order of their slots."""
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.rules.seed)

    @property
    def sum_logprob(self) -> float:
        return sum(self.logprobs)

    @property
    def avg_logprob(self) -> float:
        """As in openai/whisper: over the sampled tokens and eot."""
        return self.sum_logprob / (len(self.sampled) + 1)

    @property
    def fed_prompt(self) -> tuple[int, ...]:
        """The prompt with the detected language in it, as far as it is known."""
        if self.prompt.after_language is None or self.language_token is None:
            return self.prompt.tokens
        return (*self.prompt.tokens, self.language_token, *self.prompt.after_language)

    def append(self, token: int, logprob: float, *, eot: int) -> None:
        """Take the next token; the last one is eot or the last that the rules allow."""
        self.logprobs.append(logprob)
        if token != eot:
            self.sampled.append(token)
        self.is_cut_off = token != eot and len(self.sampled) >= self.rules.max_new_tokens
        self.is_finished = token == eot or self.is_cut_off

    def follow(self, beam: Hypothesis) -> None:
        """Become a beam, or a candidate, as it now is."""
        self.sampled, self.logprobs = list(beam.tokens), list(beam.logprobs)

    def conclude(self, best: Hypothesis) -> None:
        """Take the search's result, as each of its rows does."""
        self.follow(best)
        self.is_finished = True
        self.is_cut_off = len(self.logprobs) == len(self.sampled)  # There is no eot among them.


def begin_rows(prompt: DecoderPrompt, rules: AttemptRules) -> list[DecodingState]:
    """Return the states of a new attempt, each in a slot of its own: beams, candidates, samples, or one alone.

    The first sample is what it would be alone.
    """
    search = _new_search(rules)
    if search is not None:
        n_rows = search.options.top_k if isinstance(search, ContrastiveSearch) else search.options.num_beams
        return [DecodingState(prompt=prompt, rules=rules, search=search) for _ in range(n_rows)]
    seeds = random.Random(rules.seed)
    others = [replace(rules, seed=seeds.getrandbits(64)) for _ in range(1, rules.best_of)]
    return [DecodingState(prompt=prompt, rules=own) for own in (rules, *others)]


def _new_search(rules: AttemptRules) -> Search | None:
    if rules.contrast is not None:
        return ContrastiveSearch(rules.contrast, max_new_tokens=rules.max_new_tokens)
    if rules.beams is None:
        return None
    kind = DiverseSearch if rules.beams.num_beam_groups > 1 else BeamSearch
    return kind(rules.beams, max_new_tokens=rules.max_new_tokens)


def best_row(rows: Sequence[DecodingState]) -> DecodingState:
    """Return the result of an attempt: of a search each row has it."""
    return max(rows, key=lambda row: row.avg_logprob)
