"""Deepgram's path. A WebSocket begins as a GET."""

from __future__ import annotations

from hf_asr_endpoint.api.paths import DialectPaths, Prefix, get

SOCKET_PATH = "/v1/listen"

PATHS = DialectPaths(
    name="Deepgram", main_path=f"GET {SOCKET_PATH}", prefixes=(Prefix(SOCKET_PATH, (get("", "refuse_get"),)),)
)
