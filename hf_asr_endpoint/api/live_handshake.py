"""What every live session needs before it is accepted: a model that has them, and a page that may ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from hf_asr_endpoint.errors import EngineUnavailable, Unauthorized, UnsupportedParameter
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.transcription.transcriber import Transcriber


def check_handshake(
    handshake: HTTPConnection, transcriber: Transcriber, *, allows_pages: Sequence[str] | None
) -> None:
    """Raise EngineUnavailable without a model, and Unauthorized for a page of another site.

    allows_pages: origins whose pages may open sessions; None: all, because each needs a key. Without keys, whoever
    reaches the server may use it, and a page reaches what its visitor does.
    """
    origin = handshake.headers.get("origin")
    is_allowed = origin is None or allows_pages is None or {"*", origin} & set(allows_pages)
    if not is_allowed and urlsplit(origin).netloc != handshake.headers.get("host"):
        raise Unauthorized(
            f"pages of {show_value(origin)} may not use this server; allowed: its own, and those of its setting "
            "--cors-origins"
        )
    health = transcriber.health()
    if health.state == "failed":
        raise EngineUnavailable(health.detail)


def check_models(transcriber: Transcriber, models: Iterable[str]) -> None:
    """Raise UnsupportedParameter if none of the models has live sessions.

    models: their ids, at least one. Of a model that is not loaded that is not known: its first audio tells.
    """
    reasons = [transcriber.health(model).no_live_sessions for model in models]
    if all(reasons):
        raise UnsupportedParameter(reasons[0], parameter="model")
