"""The README is true: its snippets run and print what it shows, its tables are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from hf_asr_endpoint.api.deepinfra.schema import FIELDS
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters, Parameters
from hf_asr_endpoint.api.openai.parameters import TRANSCRIPTION_PARAMETERS
from hf_asr_endpoint.config import settings_table
from hf_asr_endpoint.transcription.attempt_rules import DEFAULT_MAX_NEW_TOKENS
from hf_asr_endpoint.types import DecodingOptions
from tests.api.huggingface.test_parameters import SCHEMA_KEYS
from tests.server import Server

ROOT = Path(__file__).parents[1]
SHAPE_OF_OPENAI = {
    *("file", "model", "response_format", "timestamp_granularities", "include", "stream", "chunking_strategy")
}
SHAPE_OF_DEEPINFRA = {"audio", "chunk_level", "chunk_length_s", "webhook"}
"""What says nothing of how tokens are chosen, nor of what to expect; its own table tells of it."""

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


DIALECTS: dict[str, Collection[str]] = {
    "Hugging Face": GenerationParameters.model_fields,
    "OpenAI": set(TRANSCRIPTION_PARAMETERS) - SHAPE_OF_OPENAI,
    "DeepInfra": set(FIELDS) - SHAPE_OF_DEEPINFRA,
}
"""The columns of the table of decoding parameters, with the names that each dialect has for them."""


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", cell)


def decoding_table() -> list[dict[str, str]]:
    """Return the rows' cells by their columns' names."""
    section = README.split("\n## Decoding parameters\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_the_table_of_decoding_parameters_has_a_column_for_each_dialect() -> None:
    assert list(decoding_table()[0])[2:] == list(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_table_of_decoding_parameters_is_that_of_the_schemas(dialect: str) -> None:
    told = []
    for row in decoding_table():
        cell = row[dialect]
        told += names_in(row["parameter"]) if cell == "yes" else names_in(cell)
        assert cell in ("", "yes") or names_in(cell)
    assert sorted(told) == sorted(DIALECTS[dialect])


def test_the_first_decoding_parameters_are_those_of_the_task() -> None:
    names = [name for row in decoding_table() for name in names_in(row["parameter"])]
    assert set(names[: len(SCHEMA_KEYS)]) == SCHEMA_KEYS
    assert f"defines the\nfirst {len(SCHEMA_KEYS)}" in README


def test_the_defaults_of_decoding_parameters_are_those_of_the_options() -> None:
    options = DecodingOptions()
    told = {}
    for row in decoding_table():
        if found := re.search(r"absent: (−?[0-9.]*[0-9])", row["what it does here"]):
            told[names_in(row["parameter"])[0]] = float(found[1].replace("−", "-"))
    assert told.pop("max_new_tokens") == DEFAULT_MAX_NEW_TOKENS
    groups = (options, options.filters, options.beams, options.contrast, options.lengths, options.thresholds)
    defaults = {field.name: getattr(group, field.name) for group in groups for field in fields(group)}
    assert told == {name: defaults[name] for name in told}
    assert len(told) >= 9


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
