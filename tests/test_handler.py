"""handler.py as the toolkit of Inference Endpoints loads it: as a file in a model's repository."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import hf_asr_endpoint
from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model
from tests.conftest import DATA

ROOT = Path(hf_asr_endpoint.__file__).parents[1]
TIMEOUT_S = 120
SPOKEN = "ask not what your country can do for you"

# Like the toolkit: put the repository on sys.path and load the module from its file. Then each line of standard
# input is a request, whose result is one line of standard output.
TOOLKIT = """
import asyncio, base64, importlib.util, json, sys
directory = sys.argv[1]
sys.path.insert(0, directory)
spec = importlib.util.spec_from_file_location("handler", directory + "/handler.py")
module = importlib.util.module_from_spec(spec)
sys.modules["handler"] = module
spec.loader.exec_module(module)
handler = module.EndpointHandler(directory)
async def in_a_loop(data):
    return handler(data)
import hf_asr_endpoint
print(json.dumps(hf_asr_endpoint.__file__))
for line in sys.stdin:
    data = json.loads(line)
    if data.pop("as_bytes", False):
        data["inputs"] = base64.b64decode(data["inputs"])
    try:
        print(json.dumps(asyncio.run(in_a_loop(data)) if data.pop("in_a_loop", False) else handler(data)))
    except Exception as exc:
        print(json.dumps({"error": str(exc), "type": type(exc).__name__}))
"""


@pytest.fixture(scope="module")
def repository(cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's repository with the three things the README says to put into it."""
    directory = tmp_path_factory.mktemp("repository")
    model = resolve_model("embedded:whisper-tiny.en", revision=None, cache_dir=cache_dir, report=lambda _: None)
    for path in model.iterdir():
        (directory / path.name).symlink_to(path)
    shutil.copy(ROOT / "handler.py", directory)
    shutil.copy(ROOT / "requirements.txt", directory)
    shutil.copytree(ROOT / "hf_asr_endpoint", directory / "hf_asr_endpoint")
    return directory


@pytest.fixture(scope="module")
def answers(repository: Path, cache_dir: Path) -> list[dict[str, Any]]:
    """The handler's answers to REQUESTS, in order."""
    lines = "".join(json.dumps(request) + "\n" for request in REQUESTS)
    env = {**os.environ, "HF_ASR_MAX_AUDIO_S": "20", "HF_ASR_CACHE_DIR": str(cache_dir)}
    result = subprocess.run(
        [sys.executable, "-c", TOOLKIT, str(repository)],
        input=lines,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=env,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    loaded_from, *answers = map(json.loads, result.stdout.splitlines())
    assert Path(loaded_from).is_relative_to(repository)
    return answers


BASE64 = base64.b64encode((DATA / "jfk.mp3").read_bytes()).decode()
REQUESTS: list[dict[str, Any]] = [
    {"inputs": BASE64, "as_bytes": True},
    {"inputs": BASE64},
    {"inputs": BASE64, "parameters": {"return_timestamps": True, "generation_parameters": {"num_beams": 1}}},
    {"inputs": {"array": [0.0] * 400, "sampling_rate": 8_000}},
    {"inputs": "/etc/passwd"},
    {"inputs": "https://example.org/a.wav"},
    {"inputs": BASE64, "parameters": {"task": "translate"}},
    {"inputs": {"array": [0.0] * 21 * 8_000, "sampling_rate": 8_000}},
    {"audio": BASE64},
    {"inputs": {"array": [0.0] * 400, "sampling_rate": 8_000}, "in_a_loop": True},
]


@pytest.mark.parametrize("index", [0, 1, 2], ids=["bytes", "base64", "with parameters"])
def test_speech_in_bytes_or_base64_is_transcribed(answers: list[dict[str, Any]], index: int) -> None:
    assert SPOKEN in answers[index]["text"].lower().replace(",", "")


def test_chunks_are_returned_on_request(answers: list[dict[str, Any]]) -> None:
    assert answers[0].keys() == {"text"}
    assert answers[2]["chunks"][-1]["timestamp"][1] == pytest.approx(11.0, abs=0.5)


@pytest.mark.parametrize("index", [3, 9], ids=["from a thread", "from inside an event loop"])
def test_samples_are_transcribed(answers: list[dict[str, Any]], index: int) -> None:
    assert answers[index] == {"text": ""}


@pytest.mark.parametrize(
    ("index", "message"),
    [
        pytest.param(4, "not valid base64", id="path"),
        pytest.param(5, "URLs are not opened", id="URL"),
        pytest.param(6, "English-only", id="task"),
        pytest.param(7, "longer than 20 s", id="limit from a variable"),
        pytest.param(8, "has the keys ['audio']", id="no inputs"),
    ],
)
def test_errors_have_the_messages_of_the_http_api(answers: list[dict[str, Any]], index: int, message: str) -> None:
    assert message in answers[index]["error"]


NOT_NEEDED = (
    "uvloop",
    "torch",
    "httpcore2",
    "httpx2",
    "rich",
    "standardwebhooks",
    "prometheus-client",
    "websockets",
)
"""The containers have torch, and a handler has no jobs, no metrics, no sockets and no command line."""


def test_requirements_are_those_of_the_package_that_a_handler_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    listed = {line for line in lines if line and not line.startswith("#")}
    assert listed == {line for line in project["dependencies"] if not line.startswith(NOT_NEEDED)}


def test_the_handler_runs_without_the_packages_for_jobs() -> None:
    """Its requirements.txt does not list them."""
    code = "import sys, handler; assert not {'standardwebhooks', 'prometheus_client'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HF_ASR_MAX_AUDIO_SECONDS", "5", "HF_ASR_MAX_AUDIO_SECONDS is not a setting; use HF_ASR_MAX_AUDIO_S"),
        ("HF_ASR_API_KEYS", "anna:do-not-show", "API keys are for `hf-asr serve`"),
        ("HF_ASR_MAX_AUDIO_S", "x", "--max-audio-s (HF_ASR_MAX_AUDIO_S) is 'x'"),
    ],
)
def test_settings_are_refused_as_on_the_command_line(variable: str, value: str, message: str) -> None:
    """A misspelt variable was ignored here, and the endpoint ran with another limit than its owner believed."""
    code = "import handler; handler.EndpointHandler()"
    environment = {**os.environ, variable: value}
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert result.returncode != 0
    assert message in result.stderr.splitlines()[-1]


def test_a_bad_secret_is_not_in_the_traceback() -> None:
    environment = {**os.environ, "HF_ASR_WEBHOOK_SECRET": "do-not-show"}
    command = [sys.executable, "-c", "import handler; handler.EndpointHandler()"]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert "HF_ASR_WEBHOOK_SECRET cannot be used" in result.stderr
    assert "do-not-show" not in result.stderr
