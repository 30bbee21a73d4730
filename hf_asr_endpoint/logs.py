"""How the server's log looks: lines of text for people, or of JSON for programs that collect logs."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]

FIELDS = "fields"
"""The attribute of a record with a mapping that JSON shows beside the message: `extra={FIELDS: {…}}`."""

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_OR_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class TextFormatter(logging.Formatter):
    """A line for each record, and a traceback below it. No message can break a line or steer a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = _CONTROL_OR_BREAK.sub(_escape, record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return _CONTROL.sub(_escape, super().formatException(ei))


class JsonFormatter(logging.Formatter):
    """A JSON object for each record: time (UTC, ISO 8601), level, logger, message, its fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Log to stderr. level: "debug", "info", "warning" or "error"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for noisy in ("uvicorn.error", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
    # It warns about every broken form. That is the client's error, and the response says so.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
