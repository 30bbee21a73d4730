"""One attempt at decoding one window: what it begins with, the rules for its tokens, and how far it has come.

Knows token ids only. Imports no torch, so that whoever schedules these need not either.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hf_asr_endpoint.whisper.decoding.beam_search import BeamRules, BeamSearch, DiverseSearch, Hypothesis
from hf_asr_endpoint.whisper.decoding.contrastive_search import ContrastiveRules, ContrastiveSearch

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
class SamplingFilters:
    """Which tokens may be sampled. Names, meanings and order are transformers'; None is off."""

    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None


NO_FILTERS = SamplingFilters()


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRules:
    """How tokens are chosen. temperature 0: the likeliest one. Sampling begins from `seed`.

    n_samples: texts to choose from, at a temperature above 0. beams: search with them, at temperature 0;
    or contrast: search contrastively.
    suppressed_tokens: in place of the checkpoint's own list, where it is not None; MODELS_OWN_TOKENS among them
    stands for that list.
    """

    max_new_tokens: int
    min_new_tokens: int = 0
    temperature: float = 0.0
    seed: int = 0
    filters: SamplingFilters = NO_FILTERS
    n_samples: int = 1
    beams: BeamRules | None = None
    contrast: ContrastiveRules | None = None
    suppressed_tokens: tuple[int, ...] | None = None


@dataclass(slots=True, kw_only=True)
class DecodingState:
    """Tokens so far, in one slot. The model alone changes it."""

    prompt: DecoderPrompt
    rules: SamplingRules
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


def begin_rows(prompt: DecoderPrompt, rules: SamplingRules) -> list[DecodingState]:
    """Return the states of a new attempt, each in a slot of its own: beams, candidates, samples, or one alone.

    The first sample is what it would be alone.
    """
    search = _new_search(rules)
    if search is not None:
        n_rows = search.rules.top_k if isinstance(search, ContrastiveSearch) else search.rules.num_beams
        return [DecodingState(prompt=prompt, rules=rules, search=search) for _ in range(n_rows)]
    seeds = random.Random(rules.seed)
    others = [replace(rules, seed=seeds.getrandbits(64)) for _ in range(1, rules.n_samples)]
    return [DecodingState(prompt=prompt, rules=own) for own in (rules, *others)]


def _new_search(rules: SamplingRules) -> Search | None:
    if rules.contrast is not None:
        return ContrastiveSearch(rules.contrast, max_new_tokens=rules.max_new_tokens)
    if rules.beams is None:
        return None
    kind = DiverseSearch if rules.beams.num_beam_groups > 1 else BeamSearch
    return kind(rules.beams, max_new_tokens=rules.max_new_tokens)


def best_row(rows: Sequence[DecodingState]) -> DecodingState:
    """Return the result of an attempt: of a search each row has it."""
    return max(rows, key=lambda row: row.avg_logprob)
