"""Lines of the log, as text and as JSON."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import datetime

import pytest

from hf_asr_endpoint.logs import FIELDS, JsonFormatter, TextFormatter

NASTY = "\x1b[31mred\r\nINFO forged: line\x00\u2028\x9b1m"


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("a.b", logging.WARNING, __file__, 1, message, args, None)
    for name, value in extra.items():
        setattr(made, name, value)
    return made


def failed_record() -> logging.LogRecord:
    try:
        raise ValueError(NASTY)
    except ValueError:
        return logging.LogRecord("a.b", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info())


def test_a_line_of_text_has_time_level_logger_and_message() -> None:
    line = TextFormatter().format(record("%d of %s", 3, "four"))
    assert line.endswith(" WARNING a.b: 3 of four")
    datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")


def test_no_message_breaks_a_line_or_steers_a_terminal() -> None:
    line = TextFormatter().format(record("the name %s", NASTY))
    assert line.isprintable()
    assert line.endswith(r"the name \x1b[31mred\r\nINFO forged: line\x00\u2028\x9b1m")


def test_a_traceback_keeps_its_lines_and_loses_its_control_characters() -> None:
    text = TextFormatter().format(failed_record())
    assert "Traceback (most recent call last):\n" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_json_has_the_fields_of_a_record() -> None:
    line = JsonFormatter().format(record("the name %s", NASTY, **{FIELDS: {"status": "200", "audio_s": None}}))
    assert line.isascii()
    assert line.isprintable()
    document = json.loads(line)
    assert datetime.fromisoformat(document.pop("time")).utcoffset() is not None
    assert document == {
        "level": "warning",
        "logger": "a.b",
        "message": f"the name {NASTY}",
        "status": "200",
        "audio_s": None,
    }


def test_json_has_the_exception() -> None:
    document = json.loads(JsonFormatter().format(failed_record()))
    assert document["exception"].splitlines()[0] == "Traceback (most recent call last):"


@pytest.mark.parametrize(("log_format", "is_json"), [("text", False), ("json", True)])
def test_the_setting_chooses_the_format(log_format: str, is_json: bool) -> None:
    script = (
        "import logging; from hf_asr_endpoint.logs import configure_logging; "
        f"configure_logging('info', '{log_format}'); logging.getLogger('x').info('hello')"
    )
    (line,) = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stderr.splitlines()
    assert line.endswith(" INFO x: hello") is not is_json
    assert line.startswith('{"time": ') is is_json
