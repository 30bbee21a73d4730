"""Decoding parameters over HTTP: concurrent requests get the same answers as single ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import DATA
from tests.server import Server, run_server

TIMEOUT_S = 120.0
CLIPS = ("jfk.mp3", "2414-128291-0009.flac")
DECODINGS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "beams": {"num_beams": 4, "temperature": 0.0, "length_penalty": 0.6},
    "groups of beams": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 3.0, "temperature": 0.0},
    "contrast": {"penalty_alpha": 0.8, "top_k": 4, "temperature": 0.0},
    "sampling": {"temperature": 1.2, "seed": 5, "top_k": 40},
    "sampling from another seed": {"temperature": 1.2, "seed": 6, "top_k": 40},
}


@pytest.fixture(scope="module")
def exact(cache_dir: Path) -> Iterator[Server]:
    """Return a float32 server: its logits depend on the batch only in the last digits."""
    flags = ("--model", "embedded:whisper-tiny.en", "--dtype", "float32", "--max-beams", "5")
    with run_server("--cache-dir", str(cache_dir), *flags) as running:
        yield running


def ask(server: Server, clip: str, **generation: Any) -> requests.Response:
    """Post a clip with its parameters in the query string."""
    query = {name: json.dumps(value) for name, value in generation.items()}
    return requests.post(server.url, data=(DATA / clip).read_bytes(), params=query, timeout=TIMEOUT_S)


def transcribe(server: Server, clip: str, generation: dict[str, Any]) -> str:
    answer = ask(server, clip, **generation)
    assert answer.ok, answer.text
    text: str = answer.json()["text"]
    return text


def test_concurrent_requests_get_the_texts_of_single_ones(exact: Server) -> None:
    work = [*zip(cycle(CLIPS), DECODINGS.values(), strict=False)]
    work += [(CLIPS[0], DECODINGS["beams"]), (CLIPS[1], DECODINGS["greedy"])]
    alone = [transcribe(exact, *one) for one in work]
    with ThreadPoolExecutor(len(work)) as threads:
        together = list(threads.map(lambda one: transcribe(exact, *one), work))
    assert together == alone
    assert len(set(alone)) >= 4


def test_use_cache_changes_nothing(exact: Server) -> None:
    contrast = DECODINGS["contrast"]
    texts = {transcribe(exact, CLIPS[1], {**contrast, "use_cache": use_cache}) for use_cache in (True, False)}
    assert texts == {transcribe(exact, CLIPS[1], contrast)}


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ({"num_beams": 6}, "num_beams is 6; allowed: up to 5, by this server's setting --max-beams"),
        (
            {"penalty_alpha": 0.6, "top_k": 6},
            "top_k is 6 beside penalty_alpha 0.6; allowed: up to 5, by this server's setting --max-beams",
        ),
        ({"best_of": 6}, "best_of is 6; allowed: up to 5, by this server's setting --max-beams"),
        (
            {"num_beams": 5, "num_beam_groups": 2},
            "num_beam_groups is 2 and num_beams is 5; allowed: a num_beams that is a multiple of num_beam_groups",
        ),
    ],
)
def test_limits_and_contradictions_are_refused_by_name(
    exact: Server, generation: dict[str, Any], message: str
) -> None:
    answer = ask(exact, CLIPS[1], **generation)
    assert (answer.status_code, answer.json()) == (422, {"error": message})


def test_suppressed_tokens_are_never_chosen(exact: Server) -> None:
    """First only the full stop, then the full stop and the model's own list."""
    usual = transcribe(exact, CLIPS[0], {"temperature": 0.0})
    assert "." in usual
    for text in ("13", "-1,13"):
        answer = requests.post(
            exact.url,
            data=(DATA / CLIPS[0]).read_bytes(),
            params={"suppress_tokens": text, "temperature": "0"},
            timeout=TIMEOUT_S,
        )
        assert answer.ok
        assert "." not in answer.json()["text"]


def test_the_prompt_sets_the_style(exact: Server) -> None:
    """A prompt in capitals gives a text in capitals."""
    prompt = "AND SO HE SPOKE. ASK NOT. MY FELLOW AMERICANS, HE SAID."
    answer = requests.post(
        exact.url,
        data=(DATA / CLIPS[0]).read_bytes(),
        params={"prompt": prompt, "temperature": "0", "condition_on_prev_tokens": "true"},
        timeout=TIMEOUT_S,
    )
    assert answer.json()["text"].isupper()
