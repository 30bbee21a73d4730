from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from hf_asr_endpoint.api.responses import encode_json, render_response


def test_bodies_are_rendered_in_another_thread() -> None:
    """A six-hour recording's body was rendered and encoded on the event loop, which stopped all other requests."""
    threads = []

    def render() -> dict[str, Any]:
        threads.append(threading.current_thread())
        return {"text": "é"}

    response = asyncio.run(render_response(render))
    assert threads != [threading.current_thread()]
    assert (bytes(response.body), response.headers["content-type"]) == (
        '{"text":"é"}'.encode(),
        "application/json",
    )


def test_text_bodies_have_their_media_type() -> None:
    response = asyncio.run(render_response(lambda: "é", text_type="text/vtt; charset=utf-8"))
    assert (bytes(response.body), response.headers["content-type"]) == ("é".encode(), "text/vtt; charset=utf-8")


def test_a_failure_to_render_is_raised() -> None:
    def fail() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(render_response(fail))


@pytest.mark.parametrize(
    "document",
    [{}, {"a": []}, {"a": [1, {"b": ["é", None]}], "c": {"d": []}, "e": 0.1}, {'"': [[], {}], "": "\u2028"}],
    ids=repr,
)
def test_encoded_json_is_what_json_dumps_writes(document: dict[str, Any]) -> None:
    assert encode_json(document) == json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def test_numbers_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json({"a": [float("nan")]})
