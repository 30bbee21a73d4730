"""What the server's process and an engine's process tell each other. A number names a request or a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hf_asr_endpoint.audio.blocks import RemoteAudio
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.processes.blocks import Block, Wanted
from hf_asr_endpoint.transcription.live.events import LiveEvent
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.orders import Order
from hf_asr_endpoint.transcription.stream import Event
from hf_asr_endpoint.types import Activity, Health, TranscriptionOptions


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Begin a transcription."""

    audio: RemoteAudio
    options: TranscriptionOptions
    order: Order


@dataclass(frozen=True, slots=True)
class OpenLive:
    """Open a live session. owner: of the caller's API key."""

    options: LiveOptions
    owner: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """Call a method of an open session's LiveStream."""

    method: Literal["push", "commit", "clear", "configure", "finish"]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the request or the session now."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End all work, and the process."""


ToEngine = tuple[int, Transcribe | OpenLive | Call | Block | Cancel] | Stop
"""What the server's process tells, of a request or of itself."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The session is open."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The oldest audio of the session that was not taken yet waits no more."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The request or the session has ended. error: None if it has all that it asked for."""

    error: AsrError | None


News = Event | LiveEvent | Opened | Taken | Ended
"""What comes of a request or a session."""


@dataclass(frozen=True, slots=True)
class State:
    """How the engine is; told again and again. n_begun: requests and sessions that it had been given by then."""

    health: Health
    activity: Activity
    n_begun: int


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """The model cannot be loaded; the process ends."""

    reason: str


FromEngine = tuple[int, News | Wanted] | State | NotLoaded
"""What an engine's process tells, of a request or of itself."""
