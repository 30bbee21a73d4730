"""Requests to DeepInfra's paths, and the form of their errors."""

from __future__ import annotations

from typing import Any

import requests

TIMEOUT_S = 10.0
TEXT = "16000 samples"
PATH = "/v1/inference/openai/whisper-base"
MISSING = "/v1/inference/openai/whisper-large"


def post(url: str, wav: bytes, path: str = PATH, **fields: Any) -> requests.Response:
    return requests.post(url + path, files={"audio": ("a.wav", wav)}, data=fields, timeout=TIMEOUT_S)


def post_json(url: str, path: str = PATH, **document: Any) -> requests.Response:
    return requests.post(url + path, json=document, timeout=TIMEOUT_S)


def error_of(answer: requests.Response, status: int) -> str:
    """Return the sentence of an error that is not about a parameter."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    (key,) = answer.json()
    assert key == "error"
    sentence: str = answer.json()["error"]
    assert answer.headers["x-error-message"]
    return sentence


def detail_of(answer: requests.Response) -> dict[str, Any]:
    """Return the one entry of a 422, in FastAPI's form."""
    assert answer.status_code == 422, answer.text
    assert list(answer.json()) == ["detail"]
    (detail,) = answer.json()["detail"]
    assert sorted(detail) == ["loc", "msg", "type"]
    assert answer.headers["x-error-message"]
    found: dict[str, Any] = detail
    return found
