"""What a caller wants and what it gets: frozen values that every layer may hold.

They know nothing of HTTP, tensors or files. Times are seconds from the beginning of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

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
"""Of sampling. Beyond them float16 logits overflow."""

MODELS_OWN_TOKENS = -1
"""Among suppressed tokens: those that the model's generation config lists."""

DEFAULT_NUM_BEAMS = 1
"""Greedy, as openai/whisper's and transformers' own functions decode."""

DEFAULT_DIVERSITY_PENALTY = 0.5
"""In the middle of what Vijayakumar et al. 2016, arXiv 1610.02424, found to work: 0.2 to 0.8."""

DEFAULT_CONTRASTIVE_TOP_K = 4
"""Candidates of contrastive search, as in examples of it. transformers' own default of 50 would take 50 slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingOptions:
    """How tokens are chosen. The defaults are greedy decoding with the temperature fallback of openai/whisper.

    The filters of sampling (`top_k` … `eta_cutoff`) act only at a temperature above 0; None or the
    neutral value switches one off. Names and meanings are those of transformers' GenerationConfig.
    """

    temperatures: tuple[float, ...] = FALLBACK_TEMPERATURES
    """Tried in order until one passes its thresholds; 0 searches with beams, above 0 samples."""
    num_beams: int = DEFAULT_NUM_BEAMS
    """Beams at temperature 0; 1 is greedy. Sampling has none."""
    beam_temperature: float = 1.0
    """Divides the logits that beam search ranks by; sampling has `temperatures` instead."""
    num_beam_groups: int = 1
    """Of equally many beams; later ones avoid what earlier ones say (diverse beam search)."""
    diversity_penalty: float = DEFAULT_DIVERSITY_PENALTY
    """Taken from a token's score for each beam of an earlier group that says it at the same place."""
    penalty_alpha: float = 0.0
    """Above 0: contrastive search, in place of greedy decoding, among `n_contrasted` candidates."""
    early_stopping: bool | Literal["never"] = False
    length_penalty: float = 1.0
    """Finished beams are ranked by their log-probability over their length to this power."""
    patience: float = 1.0
    """The search looks for num_beams times so many finished beams, one at least; as in openai/whisper."""
    best_of: int = 1
    """Samples of each window at a temperature above 0; the one of the highest average log-probability is kept."""
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    max_length: int | None = None
    """Tokens in a window, decoder prompt included, but for the text so far."""
    max_new_tokens: int | None = None
    """Tokens in a window, decoder prompt left out; wins over `max_length`."""
    min_length: int | None = None
    min_new_tokens: int | None = None
    suppress_tokens: tuple[int, ...] | None = None
    """Tokens that never come; MODELS_OWN_TOKENS among them stands for the model's list, and so does None."""
    seed: int = 0
    """Sampling begins from it, in every window, so that equal requests have equal answers."""
    compression_ratio_threshold: float | None = 2.4
    """A text that zlib compresses further than this repeats itself: the next temperature is tried."""
    logprob_threshold: float | None = -1.0
    """So is it below this average log-probability."""
    no_speech_threshold: float | None = 0.6
    """Unless P(no_speech) is above this as well: then nothing was said. None switches each of the three off."""

    @property
    def n_contrasted(self) -> int:
        """Candidates of contrastive search in each step; 1 without it."""
        return (self.top_k or DEFAULT_CONTRASTIVE_TOP_K) if self.penalty_alpha > 0 else 1


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

    def later(self, seconds: float) -> Word:
        """Return the same, so much later."""
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
