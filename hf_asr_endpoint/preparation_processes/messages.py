"""What an engine's process and one that prepares its audio tell each other. A number names a recording."""

from __future__ import annotations

from dataclasses import dataclass

from hf_asr_endpoint.audio.blocks import RemoteAudio
from hf_asr_endpoint.audio.chunking import ChunkingOptions
from hf_asr_endpoint.audio.source import ReadingOrder
from hf_asr_endpoint.logs import LogFormat
from hf_asr_endpoint.processes.blocks import Block, Wanted
from hf_asr_endpoint.transcription.preparation import PreparationEnd, PreparedChunk
from hf_asr_endpoint.transcription.spectrogram import SpectrogramMaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What to prepare for. Told once, before all recordings.

    shares_cores: the engine computes on the same cores. log_level: the lowest that is logged.
    """

    make_spectrogram: SpectrogramMaker
    shares_cores: bool
    log_level: int
    log_format: LogFormat


@dataclass(frozen=True, slots=True)
class EngineBusy:
    """Whether the engine wants the cores now."""

    is_busy: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process. Nobody waits for its recordings any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Prepare a recording. The other fields are as of PreparationOrder.

    audio: samples go as a whole; of encoded bytes only the first block, with which most clips need no other.
    """

    audio: RemoteAudio | ReadingOrder
    first_block: Block
    chunking: ChunkingOptions
    max_ahead: int
    ramps_up: bool


@dataclass(frozen=True, slots=True)
class Release:
    """A chunk has been done with; see ChunkSource."""


@dataclass(frozen=True, slots=True)
class AllowAnother:
    """One more chunk may come; see ChunkSource."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody wants the recording's chunks any more."""


About = Prepare | Block | Release | AllowAnother | Cancel
"""What is told of a recording."""

ToChild = tuple[int, About] | Setup | EngineBusy | Stop
"""What the process that prepares is told, of a recording or of itself."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long the recording's file says it is, in seconds."""

    seconds: float


News = Length | PreparedChunk | PreparationEnd
"""What comes of a recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How the process is; told again and again. is_ready: it has its Setup. The others are as of Preparations."""

    is_ready: bool = False
    worked_s: float = 0.0
    prepared_audio_s: float = 0.0


FromChild = tuple[int, News | Wanted] | State
"""What the process that prepares tells, of a recording or of itself."""
