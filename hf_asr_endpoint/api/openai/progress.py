"""Events that tell how far a stream is, for clients that say in `Accept` that they know them. An extension."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers

from hf_asr_endpoint.types import Progress

ASKED_BY = "progress=true"  # a parameter of text/event-stream in Accept


def asks_for_progress(headers: Headers) -> bool:
    """Return whether `Accept` has text/event-stream with the parameter."""
    for accepted in ",".join(headers.getlist("accept")).lower().split(","):
        media_type, *parameters = (part.strip() for part in accepted.split(";"))
        if media_type == "text/event-stream" and ASKED_BY in parameters:
            return True
    return False


def progress_event(progress: Progress) -> dict[str, Any]:
    """Return the event. Where the file does not tell its length, `duration_s` and `progress` (0 to 1) are null."""
    fraction = progress.fraction
    return {
        "type": "transcript.progress",
        "done_s": round(progress.done_s, 2),
        "duration_s": None if progress.length_s is None else round(progress.length_s, 2),
        "progress": None if fraction is None else round(fraction, 4),
    }
