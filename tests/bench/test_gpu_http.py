"""The phase that asks a server, tried on the CPU."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from bench.gpu import http
from bench.gpu.packed import CLIPS
from bench.gpu.running import Check, Log
from hf_asr_endpoint.types import Waveform


def test_a_server_is_asked_by_several_clients(
    tiny_en_directory: Path, cache_dir: Path, tmp_path: Path, speech: Waveform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_ASR_CACHE_DIR", str(cache_dir))
    np.savez(tmp_path / CLIPS, clip=(speech * 2**15).astype(np.int16))
    out = tmp_path / "lines.jsonl"
    check = Check(
        device="cpu", is_small=True, directory=tiny_en_directory, packed=tmp_path, out=out, began=time.time()
    )
    http.run(check, Log(check, "http"))
    ready, texts, *driven = (json.loads(line) for line in out.read_text().splitlines())
    assert ready["model"]["device"] == "cpu"
    assert "your country" in texts["texts"]["clip"]
    assert [line["what"] for line in driven] == ["1 clients", "2 clients"]
    for line in driven:
        assert line["n_requests"] >= 1
        assert line["audio_s_per_s"] > 0
        assert (line["other_texts_than_alone"], line["errors"]) == ([], [])
        assert line["stages_s"]["encode"] > 0
        assert line["stages_s"]["preparation"] > 0


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    np.savez(tmp_path / CLIPS, clip=np.zeros(100, np.int16))
    out = tmp_path / "lines.jsonl"
    check = Check(
        device="cpu", is_small=True, directory=tmp_path / "model", packed=tmp_path, out=out, began=time.time()
    )
    http.run(check, Log(check, "http"))
    (line,) = (json.loads(one) for one in out.read_text().splitlines())
    assert "config.json" in line["error"]
