"""What a caller wants and what it gets: frozen values that every layer may hold.

They know nothing of HTTP, tensors or files. Times are seconds from the beginning of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.units import WINDOW_S

Waveform: TypeAlias = npt.NDArray[np.float32]
"""Mono float32 in [-1, 1] at SAMPLE_RATE, shape = (n_samples,)."""

Task = Literal["transcribe", "translate"]
TASKS: tuple[Task, ...] = get_args(Task)

FALLBACK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The ladder of openai/whisper's `transcribe`: each is tried when the one before fails its thresholds."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.001, 100.0
"""Bounds for sampling. Outside them float16 logits overflow."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceActivityOptions:
    """What counts as speech, with silero-vad's names and meanings, and which silence ends a chunk."""

    threshold: float = 0.5
    """Speech begins at this probability."""
    silence_duration_s: float | None = None
    """A longer silence ends a chunk, as in OpenAI's server_vad. None: chunks are as long as allowed, and contain
    silences of up to 3 s."""
    speech_pad_s: float = 0.2
    """Kept around speech, where no other chunk has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionOptions:
    """What one caller wants for one recording."""

    task: Task = "transcribe"
    language: str | None = None
    """Code as in Whisper ("de"); None detects it."""
    condition_on_previous_text: bool = False
    """Decode one chunk after the other, each with the text so far as its prompt, instead of side by side."""
    prompt: str | None = None
    """Text that is taken to have been said before: names and spelling to follow. Before every chunk; before
    the first one only where each chunk is conditioned on the text so far."""
    hotwords: str | None = None
    """Words to expect, before every chunk in either case."""
    word_timestamps: bool = False
    """Whether segments have words."""
    token_logprobs: bool = False
    """Whether segments have their tokens' log-probabilities."""
    voice_activity: VoiceActivityOptions = field(default_factory=VoiceActivityOptions)
    chunk_length_s: float = WINDOW_S
    """Longest piece of audio that is decoded at once, in seconds, 1 to 30; no segment is longer."""
    decoding: DecodingOptions = field(default_factory=DecodingOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word with its times, which lie in its segment's and never go back. probability: 0 to 1."""

    word: str
    """As decoded: with the space before it, and punctuation attached."""
    start: float
    end: float
    probability: float

    def shifted(self, seconds: float) -> Word:
        """Return a copy that is `seconds` later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """A text token and its log-probability. token: its bytes, which need not be whole characters."""

    token: bytes
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedWindow:
    """What is known of the window that a segment was decoded in; all its segments share it.

    start: in seconds from the beginning of the file. The other names and meanings are openai/whisper's.
    """

    start: float
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of text with its times: 0 <= start <= end <= duration, and starts never go back."""

    start: float
    end: float
    text: str
    """As decoded: usually begins with a space, so that joined texts read well."""
    tokens: tuple[int, ...]
    """Timestamp tokens included."""
    window: DecodedWindow
    words: tuple[Word, ...] = ()
    """When asked for. Joined, they are the text."""
    token_logprobs: tuple[TokenLogprob, ...] = ()
    """When asked for: of the text tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """The result for one recording."""

    task: Task
    language: str
    """The language spoken, as a code ("de"), given or detected."""
    duration_s: float
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All segments' text, without the leading space."""
        return "".join(segment.text for segment in self.segments).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a model once it is loaded."""

    device: str
    dtype: str
    is_multilingual: bool
    n_mels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether transcriptions can be had now.

    state: "loading" (requests wait), "ready", or "failed" (requests are refused).
    detail: while loading, what is being waited for; when failed, why.
    """

    state: Literal["loading", "ready", "failed"]
    detail: str = ""
    model: ModelInfo | None = None
