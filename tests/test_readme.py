"""The README is true: its snippets run and print what it shows, its tables are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from hf_asr_endpoint.api.deepinfra.schema import FIELDS
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters, Parameters
from hf_asr_endpoint.api.openai.parameters import TRANSCRIPTION_PARAMETERS
from hf_asr_endpoint.config import settings_table
from tests.server import Server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ADDRESS = "localhost:8000"
TIMEOUT_S = 120

_FENCE = re.compile(
    r"```(?P<language>\w+)\n(?P<code>.*?)```\n(?:```(?P<kind>json|text)\n(?P<output>.*?)```)?", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    language: str
    code: str
    output: str


SNIPPETS = [
    Snippet(language=found["language"], code=found["code"], output=found["output"])
    for found in _FENCE.finditer(README)
    if found["output"]
]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.code.splitlines()[0])
def test_a_snippet_prints_what_the_readme_shows(server: Server, cache_dir: Path, snippet: Snippet) -> None:
    code = snippet.code.replace(ADDRESS, server.url.removeprefix("http://"))
    command = ["bash", "-c", code] if snippet.language == "bash" else [sys.executable, "-c", code]
    environment = {"HF_ASR_CACHE_DIR": str(cache_dir), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert result.stdout.strip() == snippet.output.strip(), result.stderr


def test_there_are_snippets_of_each_kind() -> None:
    languages = [snippet.language for snippet in SNIPPETS]
    assert languages.count("bash") >= 4
    assert languages.count("python") >= 2


def test_the_settings_are_those_of_the_code() -> None:
    table = README.split('settings_table())"` -->\n')[1].split("\n<!-- end of settings -->")[0]
    assert table == settings_table()


@pytest.mark.parametrize(
    "key", [*Parameters.model_fields, *GenerationParameters.model_fields, *TRANSCRIPTION_PARAMETERS, *FIELDS]
)
def test_each_parameter_has_a_row(key: str) -> None:
    rows = [line for line in README.splitlines() if line.startswith("|")]
    assert any(f"`{key}`" in row.split("|")[1] for row in rows)


def test_each_target_of_the_makefile_is_shown_by_help() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert targets
    assert [line.split()[1] for line in shown.splitlines()] == targets


def test_ci_runs_the_readmes_test_command() -> None:
    commands = (ROOT / ".ci" / "run").read_text().splitlines()
    assert commands[-1] == "make test"
    assert "make test" in README
