"""The tables in docs/ are those of the code, and links lead to files and headings that exist."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

import pytest

from hf_asr_endpoint.api import body_parser, content_encoding, query, texts
from hf_asr_endpoint.api.asr_webservice import schema as asr_webservice
from hf_asr_endpoint.api.deepinfra.schema import FIELDS
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters, Parameters
from hf_asr_endpoint.api.json_body import JsonLimits
from hf_asr_endpoint.api.mistral import schema as mistral
from hf_asr_endpoint.api.multipart import FormLimits
from hf_asr_endpoint.api.multipart_headers import CHARSETS
from hf_asr_endpoint.api.openai.schema import MAX_LANGUAGES, PARAMETERS
from hf_asr_endpoint.api.paths import DialectPaths
from hf_asr_endpoint.api.subtitles import SHAPE_FIELDS
from hf_asr_endpoint.api.whispercpp import schema as whispercpp
from hf_asr_endpoint.audio import clock, ffmpeg, files, resample
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.settings_table import settings_table
from hf_asr_endpoint.transcription.attempt_rules import DEFAULT_MAX_NEW_TOKENS
from tests.api.conftest import make_path_table
from tests.api.huggingface.test_parameters import SCHEMA_KEYS

ROOT = Path(__file__).parents[1]
DOCS = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
DECODING = DOCS["decoding-parameters"]

OPENAI_ONLY = {
    "audio_track",
    *("file", "model", "response_format", "timestamp_granularities", "include", "stream", "chunking_strategy"),
    *("word_timestamps", "logprobs"),
    *SHAPE_FIELDS,
}
DEEPINFRA_ONLY = {"audio_track", "audio", "chunk_level", "chunk_length_s", "webhook"}
"""Parameters that do not affect decoding. They are in the tables of their own APIs only."""

GENERATION = set(GenerationParameters.model_fields) - {"return_timestamps"}
"""It is documented next to them, where it belongs."""

DIALECTS: dict[str, Collection[str]] = {
    "Hugging Face": GENERATION,
    "OpenAI": set(PARAMETERS) - OPENAI_ONLY,
    "DeepInfra": set(FIELDS) - DEEPINFRA_ONLY,
}
"""The columns of the table of decoding parameters, with the names that each dialect has for them."""

JSON, FORM = JsonLimits(), FormLimits()
LIMITS = {
    "sample rate": f"{resample.MIN_SAMPLE_RATE:,} to {resample.MAX_SAMPLE_RATE:,} Hz",
    "sample rate × channels": f"{resample.MAX_VALUES_PER_S:,} values a second",
    "damaged packets in a row, after which the audio counts as ended": f"{ffmpeg.MAX_DAMAGED_IN_A_ROW:,}",
    "gap in a file's timestamps that is filled with silence": f"{clock.MAX_GAP_S / 60:g} minutes",
    "tags in a file, such as its title": f"{files.MAX_TAGS:,}; {files.MAX_WEBM_TAGS} in webm and mkv",
    "CPU time of one step of decoding": f"{files.MAX_CALL_CPU_S:g} s",
    "parts of a form": f"{FORM.max_parts}",
    "one text of a form": f"{FORM.max_text_bytes >> 10} KiB",
    "all texts of a form together": f"{FORM.max_texts_bytes >> 10} KiB",
    "JSON outside the audio": f"{JSON.max_rest_bytes >> 10} KiB, {JSON.max_values:,} values, "
    f"{JSON.max_depth} levels",
    "compressed JSON: size after decompression, beyond the first "
    f"{body_parser.UNLIMITED_EXPANSION_BYTES >> 20} MiB": f"{body_parser.MAX_EXPANSION} times the compressed size",
    "members of a gzip body": f"{content_encoding.MAX_MEMBERS:,}",
    "query string": f"{query.MAX_QUERY_BYTES >> 10} KiB, {query.MAX_QUERY_FIELDS} fields",
    "`prompt`, `initial_prompt`, `hotwords`": f"{texts.MAX_PROMPT_CHARACTERS:,} characters each",
    "`languages`": f"{MAX_LANGUAGES}",
    "`keywords`": f"{texts.MAX_KEYWORDS:,} texts, {texts.MAX_PROMPT_CHARACTERS:,} characters together",
}
"""The rows of the table of limits without a setting."""

CHARSET_NAMES = {
    "UTF-8": "utf-8",
    "UTF-16": "utf-16",
    "ISO-8859-1": "iso-8859-1",
    "windows-1252": "windows-1252",
    "US-ASCII": "us-ascii",
}


def test_the_settings_are_those_of_the_code() -> None:
    table = DOCS["settings"].split('settings_table())"` -->\n')[1].split("\n<!-- end of settings -->")[0]
    assert table == settings_table()


@pytest.mark.parametrize(
    ("page", "key"),
    [
        *(("huggingface", key) for key in Parameters.model_fields),
        *(("decoding-parameters", key) for key in sorted(GENERATION)),
        *(("openai", key) for key in PARAMETERS),
        *(("deepinfra", key) for key in FIELDS),
        *(
            ("other-apis", key)
            for key in (*asr_webservice.FIELDS, *whispercpp.Parameters.model_fields, *mistral.FIELDS)
        ),
    ],
)
def test_each_parameter_has_a_row_on_its_page(page: str, key: str) -> None:
    rows = [line for line in DOCS[page].splitlines() if line.startswith("|")]
    assert any(f"`{key}`" in row.split("|")[1] for row in rows)


def test_the_table_of_decoding_parameters_has_a_column_for_each_dialect() -> None:
    assert list(decoding_table()[0])[2:] == list(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_table_of_decoding_parameters_is_that_of_the_schemas(dialect: str) -> None:
    documented = []
    for row in decoding_table():
        cell = row[dialect]
        documented += names_in(row["parameter"]) if cell == "yes" else names_in(cell)
        assert cell in ("", "yes") or names_in(cell)
    assert sorted(documented) == sorted(DIALECTS[dialect])


def test_the_first_decoding_parameters_are_those_of_the_task() -> None:
    names = [name for row in decoding_table() for name in names_in(row["parameter"])]
    assert set(names[: len(SCHEMA_KEYS)]) == SCHEMA_KEYS
    assert f"defines the first {len(SCHEMA_KEYS)} parameters" in " ".join(DECODING.split())


def test_the_defaults_of_decoding_parameters_are_those_of_the_options() -> None:
    options = DecodingOptions()
    documented = {}
    for row in decoding_table():
        if found := re.search(r"default: (−?[0-9.]*[0-9])", row["meaning"]):
            documented[names_in(row["parameter"])[0]] = float(found[1].replace("−", "-"))
    assert documented.pop("max_new_tokens") == DEFAULT_MAX_NEW_TOKENS
    groups = (options, options.filters, options.beams, options.contrast, options.lengths, options.thresholds)
    defaults = {field.name: getattr(group, field.name) for group in groups for field in fields(group)}
    assert documented == {name: defaults[name] for name in documented}
    assert len(documented) >= 9


@pytest.mark.parametrize("name", whispercpp.FIELDS)
def test_each_field_of_whisper_cpp_is_on_its_page(name: str) -> None:
    assert f"`{name}`" in DOCS["other-apis"]


@pytest.mark.parametrize("limit", LIMITS)
def test_limits_are_those_of_the_code(limit: str) -> None:
    assert f"| {limit} | {LIMITS[limit]} |" in DOCS["requests"]


def test_charsets_are_those_of_the_code() -> None:
    assert {CHARSETS[name] for name in CHARSET_NAMES.values()} == {
        codec for codec in CHARSETS.values() if not codec.startswith("utf-16-")
    }
    assert all(name in DOCS["requests"] for name in CHARSET_NAMES)


@pytest.mark.parametrize("dialect", make_path_table().dialects, ids=lambda dialect: dialect.name)
def test_each_path_is_on_a_page(dialect: DialectPaths) -> None:
    """As `METHOD /path`, or in a table whose rows are a prefix and the endpoints below it."""
    documented = {code for page in DOCS.values() for line in page.splitlines() for code in codes_in(line)}
    for line in DOCS["openai"].split("## Paths\n")[1].split("\n## ")[0].splitlines():
        if line.startswith("| "):
            prefixes, endpoints = line.split("|")[1:3]
            starts = (*codes_in(prefixes), *([""] if "none" in prefixes else []))
            methods_and_rests = [code.split(" ") for code in codes_in(endpoints)]
            documented |= {f"{method} {start}{rest}" for start in starts for method, rest in methods_and_rests}
    for endpoint in dialect.endpoints:
        if endpoint.path != "/v1/inference":  # It exists only to say that a model's name is missing.
            assert f"{endpoint.method} {endpoint.shown_path}" in documented


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        assert page.is_file(), target
        assert not anchor or anchor in anchors(page.read_text()), target


def decoding_table() -> list[dict[str, str]]:
    """Return the rows' cells by their columns' names."""
    lines = [line for line in DECODING.splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


def codes_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", cell)


def anchors(page: str) -> list[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
