"""What a caller wants and what it gets: frozen values that every layer may hold.

They know nothing of HTTP, tensors or files. Times are seconds from the beginning of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.units import WINDOW_S

Waveform: TypeAlias = npt.NDArray[np.float32]
"""Mono float32 in [-1, 1] at SAMPLE_RATE, shape = (n_samples,)."""

Task = Literal["transcribe", "translate"]
Engine = Literal["native", "transformers"]
TASKS: tuple[Task, ...] = get_args(Task)


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
    model: str | None = None
    """The id of the model, where there are several; None: the default one."""
    language: str | None = None
    """Code as in Whisper ("de"); None detects it."""
    languages: tuple[str, ...] = ()
    """Detection is limited to these codes; empty: to all of the model's. Unused where `language` is given."""
    condition_on_previous_text: bool = False
    """Decode one chunk after the other, each with the text so far as its prompt, instead of side by side."""
    prompt: str | None = None
    """Text that is taken to have been said before: names and spelling to follow. Before every chunk; before
    the first one only where each chunk is conditioned on the text so far."""
    hotwords: str | None = None
    """Words to expect, before every chunk in either case."""
    word_timestamps: bool = False
    """Whether segments must have words."""
    prefers_words: bool = False
    """Whether words are of use but can be done without, if the model cannot time them."""
    token_logprobs: bool = False
    """Whether segments have their tokens' log-probabilities."""
    voice_activity: VoiceActivityOptions = field(default_factory=VoiceActivityOptions)
    detects_language_only: bool = False
    """Whether only the language is wanted: no text is decoded."""
    audio_track: int | None = None
    """The index among the file's audio tracks, from 0; None chooses one: flagged as default, then with speech."""
    chunk_length_s: float = WINDOW_S
    """Longest piece of audio that is decoded at once, in seconds, 1 to 30; no segment is longer."""
    decoding: DecodingOptions = field(default_factory=DecodingOptions)

    @property
    def wants_words(self) -> bool:
        """Whether words are made if the model can."""
        return self.word_timestamps or self.prefers_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a recording is transcribed, in seconds from its beginning.

    length_s: of the whole recording, as its file declares it; None if it does not.
    """

    done_s: float
    length_s: float | None

    @property
    def fraction(self) -> float | None:
        """0 to 1; None if the length is not known."""
        return min(self.done_s / self.length_s, 1.0) if self.length_s else None


def ignore_progress(progress: Progress) -> None:
    """What a caller does with it who does not want to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """On whose behalf a transcription is made.

    owner: of the API key; slots are shared between owners first, and then between each one's requests. None:
    nobody in particular. is_patient: the audio neither counts as waiting nor is refused, like that of a job.
    on_progress: called in a thread of the Transcriber, after each window that completes what is before it.
    """

    owner: str | None = None
    is_patient: bool = False
    on_progress: Callable[[Progress], None] = ignore_progress


ANYBODY = Caller()


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word with its times, which lie in its segment's and never go back.

    probability: 0 to 1; None where the model does not tell it.
    """

    word: str
    """As decoded: with the space before it, and punctuation attached."""
    start: float
    end: float
    probability: float | None

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

    start: in seconds from the beginning of the file. The other names and meanings are openai/whisper's; None is
    what the model does not tell.
    """

    start: float
    compression_ratio: float
    temperature: float | None = None
    avg_logprob: float | None = None
    no_speech_prob: float | None = None


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
    language: str | None = None
    """The language that was decoded, as a code ("de"): not that of the recording where it has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """The result for one recording."""

    task: Task
    language: str | None
    """The language spoken, as a code ("de"), given or detected; None where the model does not tell it."""
    language_probability: float | None = None
    """0 to 1, of the detected language; None when it was given, or when there was no speech."""
    duration_s: float
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All segments' text, without the leading space."""
        return "".join(segment.text for segment in self.segments).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a model once it is loaded.

    engine: that computes it, and engine_reason: why this one. n_mels: of a Whisper; 0 for other models.
    languages: the codes that it was trained on, where that is known: of a Whisper that the native engine computes,
    and of other models that are told a language.
    cpu_level: of the kernels that it runs on; None where torch's operators do.
    n_threads: that compute a step together on a CPU.
    compiles_each_shape: its libraries compile code when they first meet a number of rows or a length of window.
    windows_per_step: that are best encoded together, if as many wait.
    sequences_per_step: of short requests, that are best decoded together at most; None: as many as have slots.
    memory_bytes: of its weights and caches.
    takes_waveforms: it makes the spectrograms of its windows itself.
    """

    device: str
    dtype: str
    is_multilingual: bool
    n_mels: int = 0
    languages: tuple[str, ...] = ()
    engine: Engine = "native"
    engine_reason: str = ""
    cpu_level: str | None = None
    n_threads: int = 1
    compiles_each_shape: bool = True
    windows_per_step: int = 1
    sequences_per_step: int | None = None
    memory_bytes: int = 0
    takes_waveforms: bool = False

    @property
    def is_whisper(self) -> bool:
        return self.n_mels > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a Transcriber does now, and what it has done since it was made.

    engine_s: seconds of the model, by stage: "encode", "prefill", "decode", "align". preparation_s: seconds of
    reading, finding speech and making spectrograms, and prepared_audio_s: seconds of audio in that time.
    waiting_audio_s: of the requests in flight, as far as their files tell. wait_s: that a new request waits for
    its turn, in 19 of 20 cases at most. turn_wait_s: by which a usual one makes the next wait longer. speed:
    seconds of audio that were lately transcribed in a second; None before any. windows: that have ended, by
    outcome: "finished", "cancelled", "failed". fallbacks: windows decoded again.
    """

    slots: int = 0
    slots_in_use: int = 0
    windows_waiting: int = 0
    waiting_audio_s: float = 0.0
    wait_s: float = 0.0
    turn_wait_s: float = 0.0
    speed: float | None = None
    engine_s: Mapping[str, float] = field(default_factory=dict)
    preparation_s: float = 0.0
    prepared_audio_s: float = 0.0
    windows: Mapping[str, int] = field(default_factory=dict)
    fallbacks: int = 0
    tokens: int = 0


EngineStatus = Literal["loading", "ready", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """One engine of several. name: of its device; of several on CPUs with a number. n_restarts: since the start.

    detail: while loading, what is being waited for; when failed, why.
    """

    name: str
    state: EngineStatus
    detail: str = ""
    n_restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether transcriptions can be had now.

    state: "loading" (requests wait), "ready", "failed" (requests are refused), or "unloaded" (a request loads it).
    detail: while loading, what is being waited for; when failed, why; when ready, what is lacking, if anything.
    no_live_sessions: why there are none; "" if there are, or if that is not known, as before the model is loaded.
    engines: where the model has several, in processes of their own.
    """

    state: Literal["loading", "ready", "failed", "unloaded"]
    detail: str = ""
    model: ModelInfo | None = None
    no_live_sessions: str = ""
    engines: tuple[EngineState, ...] = ()
