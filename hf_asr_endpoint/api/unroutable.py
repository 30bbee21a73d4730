"""Requests that no route serves: which error they get, and which path they may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from hf_asr_endpoint.api.paths import Endpoint, PathTable
from hf_asr_endpoint.errors import MethodNotAllowed, UnknownPath
from hf_asr_endpoint.messages import shorten, show_value

MAX_COMPARED_CHARACTERS = 120
"""Longer paths get no suggestion: comparing takes more than linear time."""

MAX_METHOD_CHARACTERS = 20
MIN_SIMILARITY = 0.8


def refuse_method(method: str, path: str, *, allowed: tuple[str, ...]) -> MethodNotAllowed:
    """Return the error for a path that does not have this method."""
    method = shorten(method, max_characters=MAX_METHOD_CHARACTERS)
    return MethodNotAllowed(
        f"the method of {show_value(path)} is {method}; allowed: {', '.join(allowed)}",
        allowed=allow_header(allowed),
    )


def allow_header(methods: tuple[str, ...]) -> str:
    """Return the value of Allow. Every path answers OPTIONS."""
    return ", ".join((*methods, "OPTIONS"))


class UnknownPaths:
    """Makes the error for a path that does not exist: the closest path that does, and those of its dialect."""

    def __init__(self, paths: PathTable) -> None:
        self._paths = paths
        self._endpoints = [endpoint for endpoint, _ in paths.endpoints]
        # All but those that are hardly more than a base URL: what another path may have inside it.
        self._specific = [endpoint for endpoint in self._endpoints if endpoint.path not in ("/", "/v1")]
        self._by_fixed_part = {_fixed_part(endpoint): endpoint for endpoint in reversed(self._endpoints)}

    def refuse(self, method: str, path: str) -> UnknownPath:
        """Return the error."""
        prefix = self._paths.prefix_of(path)
        if prefix.path:
            allowed = [_show(endpoint) for endpoint in prefix.endpoints]
        else:
            listed = (dialect for dialect in self._paths.dialects if dialect.main_path)
            allowed = [f"{dialect.main_path} ({dialect.name})" for dialect in listed]
        close = self._closest(method, path)
        hint = f"did you mean {_show(close)}? " if close else ""
        return UnknownPath(f"the path {show_value(path)} does not exist; {hint}allowed: {', '.join(allowed)}")

    def _closest(self, method: str, path: str) -> Endpoint | None:
        """Return the endpoint that a path begins, has inside it, or else resembles."""
        if len(path) > MAX_COMPARED_CHARACTERS:
            return None
        if path in self._by_fixed_part:  # All that is missing is the parameter at its end.
            return self._by_fixed_part[path]
        for inner in _inner_paths(path):
            found = [endpoint for endpoint in self._specific if endpoint.has(inner)]
            if found:
                endpoint = next((endpoint for endpoint in found if method in endpoint.methods), found[0])
                return self._below_same_prefix(path, endpoint)
        close = difflib.get_close_matches(path.lower(), self._by_fixed_part, n=1, cutoff=MIN_SIMILARITY)
        return self._by_fixed_part[close[0]] if close else None

    def _below_same_prefix(self, path: str, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint that does the same below the prefix that a path already has, if there is one."""
        prefix = self._paths.prefix_of(path)
        same = (own for own in prefix.endpoints if prefix.path and own.operation == endpoint.operation)
        return next(same, endpoint)


def _inner_paths(path: str) -> Iterator[str]:
    """Yield the path without its last segments, then without its first ones.

    Base URLs have an endpoint's whole path (`/v1/audio/transcriptions/audio/transcriptions`), a gateway's
    (`/api/v1/audio/transcriptions`), or `/v1` twice.
    """
    segments = path.split("/")[1:]
    for n in range(len(segments) - 1, 0, -1):
        yield "/" + "/".join(segments[:n])
    for n in range(1, len(segments)):
        yield "/" + "/".join(segments[n:])


def _fixed_part(endpoint: Endpoint) -> str:
    """Return the path without a parameter at its end."""
    return endpoint.shown_path.rpartition("/{")[0] if endpoint.path.endswith("}") else endpoint.shown_path


def _show(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.shown_path}"
