"""`hf-asr transcribe --ray` as a process, on a Ray of its own: a killed run goes on, each recording is once."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from tests.command_line.conftest import MODEL, TIMEOUT_S, pieces, run, start
from tests.conftest import needs_ray
from tests.server import START_TIMEOUT_S

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed; `make test-ray` has it")
pytestmark = needs_ray

N_CLIPS = 200
BROKEN = "a-broken.mp3"
TWO_ENGINES = ("--ray", "local", "--ray-engine-replicas", "2", "--ray-engine-cpus", "1")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of N_CLIPS clips, and one file that is none."""
    folder = tmp_path_factory.mktemp("archive")
    for index, (samples, rate) in zip(range(N_CLIPS), itertools.cycle(pieces()), strict=False):
        soundfile.write(folder / f"clip{index:03}.flac", samples, rate)
    (folder / BROKEN).write_bytes(b"this is no audio at all")
    return folder


def rows(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def kill_half_way(process: subprocess.Popen[str], path: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while len(rows(path)) < N_CLIPS // 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_an_archive_that_was_killed_half_way_has_every_clip_once(
    archive: Path, cache_dir: Path, tmp_path: Path
) -> None:
    results, texts = tmp_path / "results" / "calls.jsonl", tmp_path / "texts"
    arguments = ("transcribe", str(archive), *TWO_ENGINES, "--model", MODEL, "--cache-dir", str(cache_dir))
    arguments += ("--results", str(results), "--format", "srt,vtt", "--output", str(texts))
    first = start(*arguments)
    kill_half_way(first, results)
    assert first.returncode == -signal.SIGKILL
    before = rows(results)
    assert N_CLIPS // 2 <= len(before) < N_CLIPS
    second = run(*arguments)
    output = second.stderr.decode()
    assert second.returncode == 1, output
    after = rows(results)
    assert after[: len(before)] == before
    assert sorted(Path(str(row["location"])).name for row in after) == sorted(
        path.name for path in archive.glob("*.flac")
    )
    assert f"{len(before)} of {N_CLIPS + 1} recordings are done already" in output
    assert f"failed: {archive / BROKEN}: " in output
    assert "× real time" in output
    assert {path.name for path in texts.iterdir()} == {
        f"clip{index:03}.{suffix}" for index in range(N_CLIPS) for suffix in ("srt", "vtt")
    }


def test_uris_and_parquet(archive: Path, cache_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few calls"
    folder.mkdir()
    for path in sorted(archive.glob("*.flac"))[:3]:
        os.link(path, folder / path.name)
    (folder / "notes.md").write_text("no audio")
    results = tmp_path / "calls.parquet"
    uri = f"file://{str(folder).replace(' ', '%20')}"
    arguments = ("transcribe", uri, "--ray", "local", "--model", MODEL, "--cache-dir", str(cache_dir))
    arguments += ("--results", str(results), "--words")
    first = run(*arguments)
    assert first.returncode == 0, first.stderr.decode()
    table = parquet.read_table(results).to_pylist()
    assert sorted(row["location"] for row in table) == [f"{uri}/clip{index:03}.flac" for index in range(3)]
    assert any(row["text"] and row["segments"] and row["words"] for row in table)
    again = run(*arguments)
    assert again.returncode == 0, again.stderr.decode()
    assert "3 of 3 recordings are done already" in again.stderr.decode()
    assert len(list(results.glob("*.parquet"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["-", "--ray", "local"], "no engine on Ray can read", id="standard input"),
        pytest.param(["s3x://bucket", "--ray", "local"], "cannot be opened", id="no file system"),
        pytest.param(["file:///nowhere", "--ray", "local"], "does not exist", id="nothing there"),
        pytest.param([".", "--results", "a.jsonl"], "--results is for Ray", id="without Ray"),
        pytest.param(["{archive}", "--ray", "local", "--results", "a.csv"], "ends in .jsonl or", id="format"),
        pytest.param(["file://{archive}", "--ray", "local"], "give --output", id="no folder"),
        pytest.param(["{archive}", "--ray", "127.0.0.1:1"], "Ray cannot be reached", id="no Ray"),
    ],
)
def test_mistakes_are_told(archive: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    given = [argument.replace("{archive}", str(archive)) for argument in arguments]
    done = subprocess_in(tmp_path, "transcribe", *given)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr


def subprocess_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hf_asr_endpoint", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=os.environ
    )
