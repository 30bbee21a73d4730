"""One attempt at decoding one window: its decoder prompt, its rules, and the tokens so far.

Knows token ids and options. Imports no torch, so that the engine's scheduler does not need it either.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hf_asr_endpoint.decoding_options import BeamOptions, ContrastiveOptions, DecodingOptions
from hf_asr_endpoint.whisper.decoding.beam_search import BeamSearch, DiverseSearch, Hypothesis
from hf_asr_endpoint.whisper.decoding.contrastive_search import ContrastiveSearch
from hf_asr_endpoint.whisper.decoding.draft import Draft

DEFAULT_OPTIONS = DecodingOptions()

Search = BeamSearch | DiverseSearch | ContrastiveSearch


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPrompt:
    """All ids fed before sampling: [sot_prev, previous text…] sot [language, task].

    sot_index: the index of sot. The logits after sot give P(no_speech).
    prefix: tokens that the text begins with, timestamps included. prefix_logprobs: one for each of them.
    draft: tokens that the text probably has behind the prefix, see `Draft`. Attempts with a search, or above
    temperature 0, make nothing of it.
    feeds_draft: whether the prefill feeds them, because they are expected right behind the prefix. Otherwise
    something else comes first, such as a timestamp.
    """

    tokens: tuple[int, ...]
    sot_index: int = 0
    prefix: tuple[int, ...] = ()
    prefix_logprobs: tuple[float, ...] = ()
    draft: tuple[int, ...] = ()
    feeds_draft: bool = True

    @property
    def fed_draft(self) -> tuple[int, ...]:
        """What the prefill feeds of the draft. Only attempts at temperature 0 without a search may have any."""
        return self.draft if self.feeds_draft else ()

    @property
    def fed(self) -> tuple[int, ...]:
        """What the prefill feeds."""
        return (*self.tokens, *self.prefix, *self.fed_draft)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRules:
    """The caller's options, and the limits, temperature and seed of one attempt at one window.

    temperature: 0 takes the likeliest token or searches, above 0 samples. seed: seeds the sampling of one row.
    """

    options: DecodingOptions = DEFAULT_OPTIONS
    max_new_tokens: int
    min_new_tokens: int = 0
    temperature: float = 0.0
    seed: int = 0

    @property
    def beams(self) -> BeamOptions | None:
        """The options of beam search if this attempt is one."""
        is_search = self.temperature == 0 and self.options.beams.num_beams > 1
        return self.options.beams if is_search and self.contrast is None else None

    @property
    def contrast(self) -> ContrastiveOptions | None:
        """The options of contrastive search if this attempt is one."""
        is_search = self.temperature == 0 and self.options.contrast.penalty_alpha > 0
        return self.options.contrast if is_search else None

    @property
    def best_of(self) -> int:
        """The number of samples to choose from; 1 at temperature 0."""
        return self.options.best_of if self.temperature > 0 else 1


@dataclass(slots=True, kw_only=True)
class DecodingState:
    """The tokens of one slot so far. Only the model changes it."""

    prompt: DecoderPrompt
    rules: AttemptRules
    no_speech_prob: float = 0.0
    """P(no_speech) at sot."""
    sampled: list[int] = field(default_factory=list)
    """The tokens after the prompt, including timestamps, without eot."""
    logprobs: list[float] = field(default_factory=list)
    """One for each sampled token, and one for eot once it has come."""
    is_finished: bool = False
    is_cut_off: bool = False
    """Whether `max_new_tokens` ended the text, not eot."""
    search: Search | None = None
    """The search that this state is a beam or a candidate of. It holds them in the order of their slots."""
    has_left: Callable[[], bool] = field(default=lambda: False, compare=False, repr=False)
    """Whether nobody waits for the result any more. For models that decode a window to its end in one call."""
    random: random.Random = field(init=False)
    draft: Draft | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.random = random.Random(self.rules.seed)
        if self.prompt.draft and self.search is None and self.rules.temperature == 0:
            self.draft = Draft(self.prompt.draft, is_expected=self.prompt.feeds_draft)
        if not self.sampled:
            self.sampled, self.logprobs = list(self.prompt.prefix), list(self.prompt.prefix_logprobs)

    @property
    def n_cached(self) -> int:
        """How many tokens the caches hold when the last one is fed."""
        return len(self.prompt.tokens) + len(self.sampled) - 1

    @property
    def expected(self) -> Sequence[int]:
        """The tokens that a step may feed behind the last one; none where it is not known what follows."""
        if self.draft is None:
            return ()
        return self.draft.expected[: max(self.rules.max_new_tokens - len(self.sampled) - 1, 0)]

    @property
    def sum_logprob(self) -> float:
        return sum(self.logprobs)

    @property
    def avg_logprob(self) -> float:
        """The average over the sampled tokens and eot, as in openai/whisper."""
        return self.sum_logprob / (len(self.sampled) + 1)

    def append(self, token: int, logprob: float, *, eot: int) -> None:
        """Add the next token. Finish at eot or at `max_new_tokens`."""
        self.logprobs.append(logprob)
        if token != eot:
            self.sampled.append(token)
            if self.draft is not None:
                self.draft.take(token)
        self.is_cut_off = token != eot and len(self.sampled) >= self.rules.max_new_tokens
        self.is_finished = token == eot or self.is_cut_off

    def follow(self, hypothesis: Hypothesis) -> None:
        """Take the tokens of a beam or of a candidate."""
        self.sampled, self.logprobs = list(hypothesis.tokens), list(hypothesis.logprobs)

    def conclude(self, best: Hypothesis) -> None:
        """Take the result of the search, and finish. Every row of a search does this."""
        self.follow(best)
        self.is_finished = True
        self.is_cut_off = len(self.logprobs) == len(self.sampled)  # No log-probability for eot.


def begin_rows(prompt: DecoderPrompt, rules: AttemptRules) -> list[DecodingState]:
    """Return the states of a new attempt, one for each slot: all beams, candidates or samples, or a single state.

    The first of several samples is equal to a single sample with the same seed.
    """
    search = _new_search(rules)
    assert not prompt.fed_draft or (search is None and rules.temperature == 0)
    if search is not None:
        n_rows = search.options.top_k if isinstance(search, ContrastiveSearch) else search.options.num_beams
        return [DecodingState(prompt=prompt, rules=rules, search=search) for _ in range(n_rows)]
    seeds = random.Random(rules.seed)
    others = [replace(rules, seed=seeds.getrandbits(64)) for _ in range(1, rules.best_of)]
    return [DecodingState(prompt=prompt, rules=row_rules) for row_rules in (rules, *others)]


def _new_search(rules: AttemptRules) -> Search | None:
    if rules.contrast is not None:
        return ContrastiveSearch(rules.contrast, max_new_tokens=rules.max_new_tokens)
    if rules.beams is None:
        return None
    kind = DiverseSearch if rules.beams.num_beam_groups > 1 else BeamSearch
    return kind(rules.beams, max_new_tokens=rules.max_new_tokens)


def best_row(rows: Sequence[DecodingState]) -> DecodingState:
    """Return the row with the result of an attempt: the likeliest sample. All rows of a search are equal."""
    return max(rows, key=lambda row: row.avg_logprob)
