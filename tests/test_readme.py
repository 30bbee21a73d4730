"""The README and the pages in docs/ are correct: their snippets run, and print what the pages show."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server import Server

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
ADDRESS = "localhost:8000"
TIMEOUT_S = 120

_FENCE = re.compile(
    r"^```(?P<language>bash|python)\n(?P<code>.*?)^```\n(?:```(?:json|text)\n(?P<output>.*?)^```)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """output: None if the page shows none."""

    page: str
    language: str
    code: str
    output: str | None


SNIPPETS = [
    Snippet(page=path.stem, language=found["language"], code=found["code"], output=found["output"])
    for path in PAGES
    for found in _FENCE.finditer(path.read_text())
]
WITH_OUTPUT = [snippet for snippet in SNIPPETS if snippet.output is not None]


@pytest.mark.parametrize(
    "snippet", WITH_OUTPUT, ids=lambda snippet: f"{snippet.page}: {snippet.code.splitlines()[0]}"
)
def test_a_snippet_prints_what_its_page_shows(server: Server, cache_dir: Path, snippet: Snippet) -> None:
    code = snippet.code.replace(ADDRESS, server.url.removeprefix("http://"))
    command = ["bash", "-c", code] if snippet.language == "bash" else [sys.executable, "-c", code]
    environment = {"HF_ASR_CACHE_DIR": str(cache_dir), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert snippet.output is not None
    assert result.stdout.strip() == snippet.output.strip(), result.stderr


def test_there_are_snippets_of_each_kind() -> None:
    languages = [snippet.language for snippet in WITH_OUTPUT if snippet.page == "README"]
    assert languages.count("bash") >= 4
    assert languages.count("python") >= 3


def test_snippets_without_output_are_targets_of_the_makefile() -> None:
    """All others run here."""
    for snippet in SNIPPETS:
        if snippet.output is None:
            assert all(line.split()[1] in _targets() for line in snippet.code.splitlines()), snippet.code
            assert all(line.startswith("make ") for line in snippet.code.splitlines()), snippet.code


def test_each_target_of_the_makefile_is_shown_by_help() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert _targets()
    assert [line.split()[1] for line in shown.splitlines()] == _targets()


def test_ci_runs_the_readmes_test_command_the_trained_model_and_the_clients() -> None:
    commands = (ROOT / ".ci" / "run").read_text().splitlines()
    assert commands[-5:] == [f"make test{name}" for name in ("", "-trained", "-gpu", "-clients", "-ray")]
    assert "make test" in (ROOT / "README.md").read_text()


def _targets() -> list[str]:
    return re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
