"""Ways to decode over HTTP: each has the answer that it has alone, whatever is decoded beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import DATA
from tests.server import Server, run_server

TIMEOUT_S = 120.0
CLIPS = ("jfk.mp3", "2414-128291-0009.flac")
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "beams": {"num_beams": 4, "temperature": 0.0, "length_penalty": 0.6},
    "groups of beams": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 3.0, "temperature": 0.0},
    "contrast": {"penalty_alpha": 0.8, "top_k": 4, "temperature": 0.0},
    "sampling": {"temperature": 1.2, "seed": 5, "top_k": 40},
    "sampling from another seed": {"temperature": 1.2, "seed": 6, "top_k": 40},
}


@pytest.fixture(scope="module")
def exact(cache_dir: Path) -> Iterator[Server]:
    """A server whose sums do not depend on what else is in the batch, but for their last digits."""
    flags = ("--model", "embedded:whisper-tiny.en", "--dtype", "float32", "--max-beams", "5")
    with run_server("--cache-dir", str(cache_dir), *flags) as running:
        yield running


def ask(server: Server, clip: str, **generation: Any) -> requests.Response:
    """Post samples as JSON, so that the parameters go with them."""
    query = {name: json.dumps(value) for name, value in generation.items()}
    return requests.post(server.url, data=(DATA / clip).read_bytes(), params=query, timeout=TIMEOUT_S)


def hear(server: Server, clip: str, generation: dict[str, Any]) -> str:
    answer = ask(server, clip, **generation)
    assert answer.ok, answer.text
    text: str = answer.json()["text"]
    return text


def test_every_way_gives_the_same_text_alone_and_beside_all_others(exact: Server) -> None:
    work = [(clip, way) for clip in CLIPS for way in WAYS.values()]
    alone = [hear(exact, *one) for one in work]
    with ThreadPoolExecutor(len(work)) as threads:
        together = list(threads.map(lambda one: hear(exact, *one), work))
    assert together == alone
    assert len(set(alone[: len(WAYS)])) >= 3


def test_use_cache_changes_nothing(exact: Server) -> None:
    way = WAYS["contrast"]
    texts = {hear(exact, CLIPS[1], {**way, "use_cache": use_cache}) for use_cache in (True, False)}
    assert texts == {hear(exact, CLIPS[1], way)}


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
def test_limits_and_contradictions_are_named(exact: Server, generation: dict[str, Any], message: str) -> None:
    answer = ask(exact, CLIPS[1], **generation)
    assert (answer.status_code, answer.json()) == (422, {"error": message})


def test_suppressed_tokens_never_come(exact: Server) -> None:
    """The full stop is suppressed in one way, in addition to the model's own list in the other."""
    usual = hear(exact, CLIPS[0], {"temperature": 0.0})
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


def test_a_prompt_is_followed(exact: Server) -> None:
    """A text before that is all in capitals has the answer follow."""
    before = "AND SO HE SPOKE. ASK NOT. MY FELLOW AMERICANS, HE SAID."
    answer = requests.post(
        exact.url,
        data=(DATA / CLIPS[0]).read_bytes(),
        params={"prompt": before, "temperature": "0", "condition_on_prev_tokens": "true"},
        timeout=TIMEOUT_S,
    )
    assert answer.json()["text"].isupper()
