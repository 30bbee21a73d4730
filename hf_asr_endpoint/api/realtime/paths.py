"""The Realtime API's paths. A WebSocket begins as a GET."""

from __future__ import annotations

from hf_asr_endpoint.api.paths import DialectPaths, Prefix, get, post

_PARTS = (
    get("", "refuse_get"),
    post("/client_secrets", "create_client_secret"),
    post("/transcription_sessions", "refuse_beta"),
    post("/calls", "refuse_calls"),
)

SOCKET_PATHS = ("/v1/realtime", "/openai/v1/realtime", "/realtime")
"""The last one: OpenAI's clients with a base URL without /v1."""

PATHS = DialectPaths(
    name="OpenAI Realtime",
    main_path="GET /v1/realtime",
    prefixes=tuple(Prefix(path, _PARTS) for path in SOCKET_PATHS),
)
