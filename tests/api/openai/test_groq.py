"""Groq's SDKs get `x_groq`; other clients get OpenAI's bodies as they are."""

from __future__ import annotations

import pytest
import requests

TIMEOUT_S = 30


@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
@pytest.mark.parametrize(
    ("agent", "is_groq"),
    [
        ("ai-sdk/groq/3.0.71 ai-sdk/provider-utils/4.0.29 runtime/node.js/24", True),
        ("Groq/Python 1.7.0", True),
        ("AsyncGroq/Python 1.7.0", True),
        ("Groq/JS 1.6.0", True),
        ("OpenAI/Python 3.52.0", False),
        ("ai-sdk/openai/3.0.141", False),
    ],
)
def test_groqs_clients_get_the_id_of_the_request(
    url: str, wav: bytes, agent: str, is_groq: bool, response_format: str
) -> None:
    answer = requests.post(
        f"{url}/v1/audio/transcriptions",
        data={"model": "whisper-1", "response_format": response_format},
        files={"file": wav},
        headers={"User-Agent": agent, "x-request-id": "abc"},
        timeout=TIMEOUT_S,
    )
    assert answer.json().get("x_groq") == ({"id": "req_abc"} if is_groq else None)


def test_texts_stay_as_they_are(url: str, wav: bytes) -> None:
    answer = requests.post(
        f"{url}/v1/audio/transcriptions",
        data={"model": "whisper-1", "response_format": "text"},
        files={"file": wav},
        headers={"User-Agent": "Groq/Python 1.7.0"},
        timeout=TIMEOUT_S,
    )
    assert answer.text == "16000 samples\n"
