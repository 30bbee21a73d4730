"""`hf-asr transcribe` as a process, with real weights: what it leaves in folders, and what it tells."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import srt
import webvtt

from hf_asr_endpoint.command_line.main import main
from hf_asr_endpoint.command_line.transcribe.formats import FORMATS
from tests.command_line.conftest import BROKEN, MODEL, N_CLIPS, TIMEOUT_S, run, start
from tests.server import POLL_INTERVAL_S, Server

KEY = {"HF_ASR_API_KEY": "key-of-anna"}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if not path.name.startswith(".")}


def interrupt(process: subprocess.Popen[str], folder: Path, *, n_files: int, by: signal.Signals) -> str:
    """Send a signal once a folder has that many files. Returns what the process printed."""
    deadline = time.monotonic() + TIMEOUT_S
    while len(times(folder)) < n_files and process.poll() is None and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL_S / 5)  # Nothing tells of a new file; short, so that some are left to do.
    process.send_signal(by)
    return process.communicate(timeout=TIMEOUT_S)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A folder of texts, made by three processes of which two were ended half-way. outputs: what they printed."""

    folder: Path
    outputs: tuple[str, str, str]
    times: tuple[dict[Path, int], ...]
    """Of the files that were there after each."""
    returncodes: tuple[int, int, int]


@pytest.fixture(scope="session")
def resumed(clips: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    folder = tmp_path_factory.mktemp("texts")
    arguments = ("transcribe", str(clips), "--recursive", "-o", str(folder), "--format", ",".join(FORMATS))
    arguments += ("--words", "--model", MODEL, "--cache-dir", str(cache_dir))
    first = start(*arguments)
    outputs, after = [interrupt(first, folder, n_files=3 * len(FORMATS), by=signal.SIGINT)], [times(folder)]
    second = start(*arguments)
    n_files = len(after[0]) + 10 * len(FORMATS)
    outputs.append(interrupt(second, folder, n_files=n_files, by=signal.SIGKILL))
    after.append(times(folder))
    third = start(*arguments)
    outputs.append(third.communicate(timeout=TIMEOUT_S)[0])
    after.append(times(folder))
    return Resumed(
        folder=folder,
        outputs=(outputs[0], outputs[1], outputs[2]),
        times=tuple(after),
        returncodes=(first.returncode, second.returncode, third.returncode),
    )


def test_a_folder_that_was_interrupted_and_killed_half_way_is_done_exactly_once(
    resumed: Resumed, clips: Path
) -> None:
    assert resumed.returncodes == (130, -signal.SIGKILL, 1)
    assert 3 * len(FORMATS) <= len(resumed.times[0]) < len(resumed.times[1]) < len(resumed.times[2])
    stems = [path.relative_to(clips).with_suffix("") for path in clips.rglob("*.flac")]
    assert len(stems) == N_CLIPS
    assert set(contents(resumed.folder)) == {Path(f"{stem}.{name}") for stem in stems for name in FORMATS}
    for before, after in zip(resumed.times, resumed.times[1:], strict=False):
        assert before.items() <= after.items()  # Nothing was written a second time.


def test_an_interruption_leaves_no_half_written_recording(resumed: Resumed) -> None:
    assert len(resumed.times[0]) % len(FORMATS) == 0
    assert "interrupted; the same command goes on" in resumed.outputs[0]
    assert "Traceback" not in resumed.outputs[0]


def test_a_broken_file_stops_no_other_and_is_in_the_summary(resumed: Resumed, clips: Path) -> None:
    *_, summary, failure = resumed.outputs[2].splitlines()
    assert ", 1 failed; " in summary
    assert "× real time" in summary
    assert failure.startswith(f"failed: {clips / BROKEN}: ")
    assert f"of {N_CLIPS + 1} files have their texts already and are skipped" in resumed.outputs[2]


def test_each_format_is_read_by_its_own_parser(resumed: Resumed) -> None:
    texts = contents(resumed.folder)
    spoken = 0
    for path in (path for path in texts if path.suffix == ".json"):
        document = json.loads(texts[path])
        assert texts[path.with_suffix(".txt")].decode() == document["text"] + "\n"
        assert "".join(segment["text"] for segment in document["segments"]).strip() == document["text"]
        cues = list(srt.parse(texts[path.with_suffix(".srt")].decode()))
        assert " ".join(cue.content.replace("\n", " ") for cue in cues) == document["text"]
        captions = webvtt.from_string(texts[path.with_suffix(".vtt")].decode())
        assert len(captions) == len(cues)
        assert len(texts[path.with_suffix(".tsv")].splitlines()) == 1 + len(document["segments"])
        assert len(document["words"]) == len(document["text"].split())
        spoken += bool(document["text"])
    assert spoken > N_CLIPS / 2


def test_a_server_gives_the_same_bytes(resumed: Resumed, clips: Path, tiny_server: Server, tmp_path: Path) -> None:
    arguments = ("transcribe", str(clips / "more"), str(clips / BROKEN), "-o", str(tmp_path), "--words")
    result = run(*arguments, "--format", ",".join(FORMATS), "--server", tiny_server.url, **KEY)
    assert result.returncode == 1, result.stderr.decode()
    assert BROKEN in result.stderr.decode().splitlines()[-1]
    assert contents(tmp_path) == contents(resumed.folder / "more")
    assert len(contents(tmp_path)) == N_CLIPS // 2 * len(FORMATS)


def test_the_standard_input_goes_to_the_standard_output(tiny_server: Server, jfk: bytes) -> None:
    result = run("transcribe", "-", "--server", f"{tiny_server.url}/v1/", stdin=jfk, **KEY)
    assert result.returncode == 0, result.stderr.decode()
    assert "ask not what your country can do for you" in result.stdout.decode()
    assert len(result.stdout.splitlines()) == 1


def test_the_standard_output_has_one_format(jfk: bytes) -> None:
    result = run("transcribe", "-", "--format", "txt,srt", stdin=jfk)
    assert result.returncode == 2
    assert "goes to the standard output; allowed: one format" in result.stderr.decode()


def test_the_standard_input_has_a_file_in_a_folder(tiny_server: Server, jfk: bytes, tmp_path: Path) -> None:
    flags = ("--format", "srt,lrc", "--max-words-per-line", "4", "-o", str(tmp_path / "new"))
    result = run("transcribe", "-", *flags, "--server", tiny_server.url, stdin=jfk, **KEY)
    assert result.returncode == 0, result.stderr.decode()
    cues = list(srt.parse((tmp_path / "new" / "stdin.srt").read_text()))
    assert all(len(cue.content.split()) <= 4 for cue in cues)
    assert (tmp_path / "new" / "stdin.lrc").is_file()


@pytest.mark.parametrize(
    ("flags", "env", "message"),
    [
        pytest.param([], {"HF_ASR_API_KEY": "wrong"}, "refuses: ", id="wrong key"),
        pytest.param(["--model", "large"], KEY, "the model 'large' is not served here", id="model"),
        pytest.param(["--language", "de"], KEY, "English", id="language"),
        pytest.param(["--beams", "99"], KEY, "num_beams is 99", id="beams"),
    ],
)
def test_what_is_wrong_for_all_files_is_said_once(
    tiny_server: Server,
    clips: Path,
    tmp_path: Path,
    flags: list[str],
    env: dict[str, str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    files = [str(clips / f"clip{index:02}.flac") for index in (0, 2, 4)]
    assert main(["transcribe", *files, *flags, "-o", str(tmp_path), "--server", tiny_server.url]) == 2
    error = capsys.readouterr().err
    assert error.count(message) == 1
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there(tmp_path: Path, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transcribe", str(clips), "-o", str(tmp_path), "--server", "http://127.0.0.1:9"]) == 2
    assert "http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["nothing.mp3"], "'nothing.mp3' does not exist; allowed", id="file"),
        pytest.param(["*.nothing"], "'*.nothing' does not exist", id="pattern"),
        pytest.param([".", "--format", "doc"], "--format is 'doc'; allowed: one or more of txt,srt", id="format"),
        pytest.param([".", "--words"], "--words is for json", id="words"),
        pytest.param([".", "--max-line-width", "9"], "which max_line_width does not shape", id="shape"),
        pytest.param([".", "--highlight-words", "--format", "srt,lrc"], "lrc, which cannot mark words", id="mark"),
        pytest.param(
            [".", "--max-line-width", "0", "--format", "srt"], "max_line_width is 0; allowed", id="width"
        ),
        pytest.param([".", "--temperature", "3"], "temperature is '3'; allowed: 0, or", id="temperature"),
        pytest.param([".", "--language", "klingon"], "language is 'klingon'; allowed", id="language"),
        pytest.param([".", "--api-key", "k"], "--api-key is for a server", id="key"),
        pytest.param([".", "--server", "x.y"], "--server is 'x.y'; allowed: a URL", id="url"),
        pytest.param([".", "--server", "http://x", "--dtype", "int8"], "--dtype is for an engine", id="engine"),
        pytest.param([".", "--model", "a,b"], "there are 2 models; allowed: one", id="models"),
    ],
)
def test_a_users_mistake_is_said_before_any_work(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["transcribe", *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_terminal_gets_bars(tiny_server: Server, clips: Path, tmp_path: Path) -> None:
    files = [str(clips / "more" / f"clip{index:02}.flac") for index in (1, 3, 5)]
    controller, terminal = pytest.importorskip("pty").openpty()
    command = [sys.executable, "-m", "hf_asr_endpoint", "transcribe", *files, "-o", str(tmp_path)]
    command += ["--server", tiny_server.url]
    process = subprocess.Popen(command, stderr=terminal, env={**os.environ, **KEY, "TERM": "xterm"})
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says so at the end.
        while part := os.read(controller, 65_536):
            shown += part
    os.close(controller)
    assert process.wait(TIMEOUT_S) == 0
    assert b"3 of 3 files transcribed" in shown
    assert "× real time".encode() in shown
    assert b"clip01.txt" in shown
    assert len(list(tmp_path.glob("*.txt"))) == 3
