"""How tokens are chosen: frozen options, in groups, that every layer may hold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

FALLBACK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The ladder of openai/whisper's `transcribe`: each is tried when the one before fails its thresholds."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.001, 100.0
"""Bounds for sampling. Outside them float16 logits overflow."""

MAX_PENALTY = 10.0
"""The maximum of the penalties and of `patience`. A length to a higher power overflows."""

MIN_REPETITION_PENALTY = 0.1
"""Logits divided by a penalty close to 0 overflow."""

MODELS_OWN_TOKENS = -1
"""In `suppress_tokens`: stands for the list in the model's generation config."""

DEFAULT_NUM_BEAMS = 1
"""Greedy decoding, the default of openai/whisper's and transformers' functions."""

DEFAULT_DIVERSITY_PENALTY = 0.5
"""The middle of the range that Vijayakumar et al. 2016, arXiv 1610.02424, recommend: 0.2 to 0.8."""

DEFAULT_CONTRASTIVE_TOP_K = 4
"""Candidates of contrastive search, as in published examples. transformers' default of 50 would take 50 slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingFilters:
    """Which tokens may be sampled, at temperatures above 0. None or the neutral value switches a filter off.

    Names, meanings and order are those of transformers' GenerationConfig.
    """

    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamOptions:
    """Beam search, at temperature 0. Names and meanings are those of transformers' GenerationConfig."""

    num_beams: int = DEFAULT_NUM_BEAMS
    """1 is greedy decoding."""
    num_beam_groups: int = 1
    """Groups of equal size; later groups are penalised for repeating earlier ones (diverse beam search)."""
    diversity_penalty: float = DEFAULT_DIVERSITY_PENALTY
    """Subtracted from a token's score for each beam of an earlier group that chose it in this step."""
    early_stopping: bool | Literal["never"] = False
    length_penalty: float = 1.0
    """Finished beams are ranked by log-probability / length ** length_penalty."""
    patience: float = 1.0
    """The search keeps num_beams × patience finished beams, at least 1 (Kasai et al. 2022, arXiv 2204.05424)."""
    beam_temperature: float = 1.0
    """Divides the logits that beams are ranked by. `DecodingOptions.temperatures` are those of sampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveOptions:
    """Contrastive search, at temperature 0 in place of greedy decoding (Su et al. 2022, arXiv 2202.06417)."""

    penalty_alpha: float = 0.0
    """Weight of the degeneration penalty, 0 to 1; 0 switches contrastive search off."""
    top_k: int = DEFAULT_CONTRASTIVE_TOP_K
    """Candidates in each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthLimits:
    """Tokens in a window. `max_length` and `min_length` count the decoder prompt from sot on."""

    max_length: int | None = None
    max_new_tokens: int | None = None
    """Takes precedence over `max_length`."""
    min_length: int | None = None
    min_new_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackThresholds:
    """When a window is decoded again, as in openai/whisper's `transcribe`. None switches a threshold off."""

    compression_ratio_threshold: float | None = 2.4
    """A text with a higher ratio of bytes before and after zlib repeats itself: decode again."""
    logprob_threshold: float | None = -1.0
    """A lower average log-probability is too unlikely: decode again."""
    no_speech_threshold: float | None = 0.6
    """With a higher P(no_speech), a text that is too unlikely is silence: drop it and do not decode again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingOptions:
    """How tokens are chosen. The defaults are greedy decoding with openai/whisper's temperature fallback."""

    temperatures: tuple[float, ...] = FALLBACK_TEMPERATURES
    """Tried in order until a result passes the thresholds. 0 decodes greedily or searches, above 0 samples."""
    best_of: int = 1
    """Samples of each window at a temperature above 0; the one with the best `avg_logprob` is kept."""
    seed: int = 0
    """Seeds the sampling of every window, so that equal requests have equal results."""
    suppress_tokens: tuple[int, ...] | None = None
    """Tokens that are never chosen. MODELS_OWN_TOKENS, and None, stand for the model's own list."""
    repetition_penalty: float = 1.0
    """Above 1, tokens of the decoder prompt and of the text so far become less likely; below 1, more likely."""
    filters: SamplingFilters = SamplingFilters()
    beams: BeamOptions = BeamOptions()
    contrast: ContrastiveOptions = ContrastiveOptions()
    lengths: LengthLimits = LengthLimits()
    thresholds: FallbackThresholds = FallbackThresholds()

    @classmethod
    def from_flat(cls, **values: Any) -> DecodingOptions:
        """Return options from values by the names of fields, in any group. Raises TypeError for another name.

        `top_k` sets the sampling filter and, with `penalty_alpha` above 0, the candidates of contrastive search.
        """
        if values.get("penalty_alpha", 0) > 0 and values.get("top_k"):
            values["contrast"] = ContrastiveOptions(
                penalty_alpha=values.pop("penalty_alpha"), top_k=values["top_k"]
            )
        for group, of_group in _GROUPS.items():
            names = [field.name for field in fields(of_group) if field.name in values]
            if names:
                values[group] = of_group(**{name: values.pop(name) for name in names})
        return cls(**values)

    @property
    def searches(self) -> bool:
        """Whether some attempt decodes at temperature 0."""
        return 0.0 in self.temperatures

    @property
    def samples(self) -> bool:
        """Whether some attempt decodes at a temperature above 0."""
        return any(temperature > 0 for temperature in self.temperatures)


_GROUPS: dict[
    str, type[SamplingFilters | BeamOptions | ContrastiveOptions | LengthLimits | FallbackThresholds]
] = {
    "filters": SamplingFilters,
    "beams": BeamOptions,
    "contrast": ContrastiveOptions,
    "lengths": LengthLimits,
    "thresholds": FallbackThresholds,
}

FLAT_DECODING_OPTIONS: frozenset[str] = frozenset(
    field.name for group in (DecodingOptions, *_GROUPS.values()) for field in fields(group)
).difference(_GROUPS)
"""Every name that `DecodingOptions.from_flat` takes."""
