"""The server as its users meet it: real weights and a real socket. Client programs are in tests/clients."""

from __future__ import annotations

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jiwer
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from whisper_normalizer.english import EnglishTextNormalizer

from tests.conftest import DATA
from tests.server import Server

TIMEOUT_S = 120.0
DASHBOARD = Path(__file__).parents[1] / "docs" / "grafana-dashboard.json"
SPOKEN = "ask not what your country can do for you"
MALFORMED = sorted((DATA / "audio" / "malformed").iterdir())


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def post(server: Server, body: bytes, **query: str) -> dict[str, Any]:
    answer = requests.post(server.url, data=body, params=query, timeout=TIMEOUT_S)
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    return document


def test_the_sites_snippet_that_declares_the_wrong_type(server: Server, jfk: bytes) -> None:
    body = json.dumps({"inputs": base64.b64encode(jfk).decode(), "parameters": {"return_timestamps": True}})
    answer = requests.post(server.url, data=body, headers={"Content-Type": "audio/flac"}, timeout=TIMEOUT_S).json()
    assert SPOKEN in plain(answer["text"])
    assert answer["chunks"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fleurs-de-005.ogg", {"dieses", "sediment", "und", "die", "als"}),
        ("fleurs-fr-000.ogg", {"accident", "lieu", "en", "terrain", "et"}),
        ("fleurs-es-002.ogg", {"cantidad", "de", "gente", "todos", "plaza"}),
    ],
)
def test_each_language_comes_back_in_itself_with_no_parameter(server: Server, name: str, words: set[str]) -> None:
    text = plain(post(server, (DATA / name).read_bytes())["text"]).replace("'", " ")
    assert words <= set(text.split())


def test_a_task_asked_for_in_the_query_string(server: Server) -> None:
    text = post(server, (DATA / "fleurs-de-005.ogg").read_bytes(), task="translate", language="de")["text"]
    assert "animals" in plain(text)


def test_word_error_rate_on_short_clips(server: Server) -> None:
    """Whisper-base has about 10 per cent on this kind of speech; a broken front end or prompt has far more."""
    references = json.loads((DATA / "librispeech.json").read_text())
    normalise = EnglishTextNormalizer()
    hypotheses = [post(server, (DATA / name).read_bytes(), num_beams="1")["text"] for name in references]
    wer = jiwer.wer([normalise(text) for text in references.values()], [normalise(text) for text in hypotheses])
    assert wer <= 0.15


def test_a_long_recording_is_whole_and_its_times_go_on(server: Server, long_recording: bytes) -> None:
    document = post(server, long_recording, return_timestamps="true", num_beams="1")
    assert plain(document["text"]).count(SPOKEN) == 3
    times = [time for chunk in document["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times)
    assert 32 < times[-1] <= 35


def test_too_many_seconds_are_refused(server: Server, silent_minutes: bytes) -> None:
    answer = requests.post(server.url, data=silent_minutes, timeout=TIMEOUT_S)
    assert answer.status_code == 413
    assert "longer than 60 s" in answer.json()["error"]


def test_requests_at_once_are_all_answered_alike(server: Server, jfk: bytes) -> None:
    with ThreadPoolExecutor(6) as pool:
        texts = set(pool.map(lambda _: post(server, jfk, num_beams="1")["text"], range(6)))
    assert len(texts) == 1


@pytest.mark.parametrize("path", MALFORMED, ids=lambda path: path.name)
def test_broken_files_have_a_transcript_or_a_400(server: Server, path: Path) -> None:
    answer = requests.post(server.url, data=path.read_bytes(), params={"num_beams": "1"}, timeout=TIMEOUT_S)
    assert (answer.status_code, set(answer.json())) in ((200, {"text"}), (400, {"error"}))


def test_the_dashboard_uses_only_metrics_that_exist(server: Server, jfk: bytes) -> None:
    post(server, jfk)
    metrics = requests.get(f"{server.url}/metrics", timeout=TIMEOUT_S).text
    exist = {sample.name for family in text_string_to_metric_families(metrics) for sample in family.samples}
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = [set(re.findall(r"\b(?:hf_asr|process)_\w+", query)) for query in queries]
    assert len(used) >= 10
    assert all(used)
    assert set().union(*used) <= exist


def test_metrics_say_what_the_engine_has_done(server: Server, jfk: bytes) -> None:
    before = metrics_of(server)
    post(server, jfk)
    after = metrics_of(server)
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    model = "openai/whisper-base"
    assert grown[f"hf_asr_windows_total {model} finished"] == 1
    assert 20 <= grown[f"hf_asr_tokens_total {model}"] <= 60
    assert grown[f"hf_asr_prepared_audio_seconds_total {model}"] > 10.9
    assert grown[f"hf_asr_preparation_seconds_total {model}"] > 0
    for stage in ("encode", "decode"):
        assert grown[f"hf_asr_engine_seconds_total {model} {stage}"] > 0
    assert after[f"hf_asr_slots_in_use {model}"] == 0
    assert after["hf_asr_jobs queued"] == 0


def metrics_of(server: Server) -> dict[str, float]:
    """Return all values by their names and their labels' values."""
    text = requests.get(f"{server.url}/metrics", timeout=TIMEOUT_S).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {" ".join((sample.name, *sample.labels.values())): sample.value for sample in samples}
