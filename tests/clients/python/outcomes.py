"""What a client's calls came to, printed as one line of JSON.

Runs in the client's environment, so it imports the standard library only.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

SHOWN_ATTRIBUTES = ("status_code", "code", "param", "type", "request_id")


class Outcomes:
    """Makes calls one by one and keeps what each returned or raised."""

    def __init__(self) -> None:
        self._by_name: dict[str, Any] = {}

    def call(self, name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        try:
            self._by_name[name] = {"result": _plain(function(*arguments, **options))}
        except Exception as exc:
            shown = {attribute: getattr(exc, attribute, None) for attribute in SHOWN_ATTRIBUTES}
            error = {"class": type(exc).__name__, "message": str(exc), **shown}
            self._by_name[name] = {"error": json.loads(json.dumps(error, default=str))}

    def print(self) -> None:
        print("\n" + json.dumps(self._by_name, default=str))


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
