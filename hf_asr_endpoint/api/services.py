"""What an application serves with. `composition.py` makes it from settings; tests make it from fakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.body import RequestLimits
from hf_asr_endpoint.api.live_sessions import LiveSessions
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.subtitles.limits import CueLimits
from hf_asr_endpoint.transcription.transcriber import Transcriber

if TYPE_CHECKING:  # handler.py has no jobs and no metrics, and runs without the packages that they need.
    from hf_asr_endpoint.api.siblings import Siblings
    from hf_asr_endpoint.jobs.jobs import Jobs, NoJobs


def _do_nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that an application needs. Its shutdown closes the transcriber and the jobs."""

    transcriber: Transcriber
    models: ServedModels
    limits: RequestLimits
    cue_limits: CueLimits = field(default_factory=CueLimits)
    """Of one cue of a subtitle."""
    live: LiveSessions = field(default_factory=LiveSessions)
    """The live sessions that are open, and their limits."""
    jobs: Jobs | NoJobs | None = None
    """None: the paths of jobs respond that there are none."""
    siblings: Siblings | None = None
    """Other processes whose requests the metrics count; None: there are none."""
    price_per_s: float = 0.0
    """Of audio, for the costs that DeepInfra's responses show."""
    access: Access | None = None
    """Who may use the server; None: everybody."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may use the server from a browser; "*": all."""
    root_path: str = ""
    """A proxy's path to this server."""
    has_playground: bool = False
    """Whether browsers get a page at `GET /`."""
    start: Callable[[], None] = _do_nothing
    """Called once, when the application starts: begins to load the model."""
