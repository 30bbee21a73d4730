"""Imports go down only, heavy packages stay in their folders, and files and functions stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import hf_asr_endpoint

PACKAGE = Path(hf_asr_endpoint.__file__).parent
NAME = PACKAGE.name

LAYERS: tuple[tuple[str, ...], ...] = (
    ("units", "errors", "messages", "logs", "user_folders", "file_limit", "tracing"),
    ("language_names", "setting_types", "platform_variables"),
    ("job_settings", "model_settings"),
    ("decoding_options", "languages", "config", "cancellation"),
    ("settings_table", "read_settings", "model_choice"),
    ("types",),
    ("audio", "whisper", "subtitles"),
    ("engine", "processes"),
    ("transcription",),
    ("transformers_models",),
    ("jobs",),
    ("api",),
    ("preparation_processes",),
    ("loading",),
    ("engine_processes",),
    ("composition",),
    ("ray_cluster",),
    ("ray_serve", "ray_data"),
    ("command_line",),
    ("__main__",),
)
"""From bottom to top. A module may import from lower layers and from its own folder."""

HEAVY = {"torch", "transformers", "accelerate", "librosa"}
"""They take seconds to import, in which the server already responds, so only HEAVY_ALLOWED may import them."""
HEAVY_ALLOWED = {"whisper", "transcription", "audio", "transformers_models"}

COMPILERS = {
    "numba": ("whisper", "kernels"),
    "llvmlite": ("whisper", "kernels"),
    "triton": ("whisper", "device", "triton_kernels"),
}
"""The one folder that may import each: servers on a CPU start without Triton, those on a GPU without numba."""

MAX_LINES, MAX_FUNCTION_LINES = 300, 60

API_ROOT = "app.py"
"""The one module of `api` outside the dialects' folders that may import dialects."""

FILES = sorted(PACKAGE.rglob("*.py"))

CHECKOUT = Path(__file__).parents[1]
AROUND = sorted(path for folder in ("tests", "bench") for path in (CHECKOUT / folder).rglob("*.py"))
"""Code that is not installed with the package."""


def layer_of(part: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if part in layer)


@cache
def imported_modules(path: Path) -> tuple[str, ...]:
    """Return the modules that a file imports, anywhere in it."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; imports are absolute here"
            yield node.module or ""


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_module_has_a_layer() -> None:
    listed = {part for layer in LAYERS for part in layer}
    assert {part_of(path) for path in FILES} - {"__init__"} <= listed


def test_imports_go_down() -> None:
    for path in FILES:
        part = part_of(path)
        for module in imported_modules(path):
            names = module.split(".")
            if names[0] != NAME or len(names) == 1:
                continue
            assert names[1] == part or layer_of(names[1]) < layer_of(part), f"{path} imports {module}"


def test_heavy_imports_stay_where_they_belong() -> None:
    for path in FILES:
        heavy = {module.split(".")[0] for module in imported_modules(path)} & HEAVY
        assert not heavy or part_of(path) in HEAVY_ALLOWED, f"{path} imports {heavy}"


def test_process_symbols_are_loaded_in_one_place() -> None:
    """`ctypes.CDLL(None)` raises TypeError on Windows."""
    assert [path for path in FILES if "CDLL(None)" in path.read_text()] == [PACKAGE / "whisper" / "process.py"]


def test_settings_stop_at_the_composition_root() -> None:
    users = {part_of(path) for path in FILES if f"{NAME}.config" in set(imported_modules(path))}
    ray = {"ray_cluster", "ray_serve", "ray_data"}
    own = {
        "composition",
        "engine_processes",
        "loading",
        "model_choice",
        "read_settings",
        "settings_table",
        "command_line",
    }
    assert users <= own | ray


def test_only_kernels_import_compilers() -> None:
    for path in FILES:
        compilers = {module.split(".")[0] for module in imported_modules(path)} & COMPILERS.keys()
        for compiler in compilers:
            folder = COMPILERS[compiler]
            assert path.relative_to(PACKAGE).parts[: len(folder)] == folder, f"{path} imports {compiler}"


def assert_no_circles(edges: Mapping[str, set[str]]) -> None:
    """edges: the names that each name imports."""
    while edges:
        leaves = {name for name, targets in edges.items() if not targets & edges.keys()}
        assert leaves, f"these import one another: {sorted(edges)}"
        edges = {name: targets for name, targets in edges.items() if name not in leaves}


def test_no_circles_between_modules() -> None:
    modules = {".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES}
    assert_no_circles(
        {name: {m for m in imported_modules(path) if m in modules} for name, path in modules.items()}
    )


def test_no_circles_between_the_folders_of_api() -> None:
    edges: dict[str, set[str]] = {}
    for path in sorted((PACKAGE / "api").rglob("*.py")):
        if path.name == API_ROOT:
            continue
        folder = path.parent.name
        targets = {folder_in_api(module) for module in imported_modules(path)} - {None, folder}
        edges.setdefault(folder, set()).update(target for target in targets if target)
    assert_no_circles(edges)


def folder_in_api(module: str) -> str | None:
    """Return "api" for a module directly in that folder, else its folder there; None outside `api`."""
    names = module.split(".")
    if names[:2] != [NAME, "api"] or len(names) < 3:
        return None
    return names[2] if (PACKAGE / "api" / names[2]).is_dir() else "api"


def test_files_stay_small() -> None:
    sizes = {str(path): path.read_text().count("\n") for path in (*FILES, *AROUND)}
    assert {path: n_lines for path, n_lines in sizes.items() if n_lines > MAX_LINES} == {}


def test_functions_stay_small() -> None:
    sizes = {
        f"{path}: {node.name}": (node.end_lineno or 0) - node.lineno
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: n_lines for name, n_lines in sizes.items() if n_lines >= MAX_FUNCTION_LINES} == {}
