"""Imports go down only, and files stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hf_asr_endpoint

PACKAGE = Path(hf_asr_endpoint.__file__).parent
NAME = PACKAGE.name

LAYERS: tuple[tuple[str, ...], ...] = (
    ("units", "errors", "user_folders"),
    ("types", "languages", "config"),
    ("audio", "whisper", "subtitles"),
    ("engine",),
    ("transcription",),
    ("jobs",),
    ("api",),
    ("composition",),
    ("cli", "ray_serve"),
    ("__main__",),
)
"""From bottom to top. A module imports from layers below its own, or from its own folder."""

HEAVY = {"torch", "transformers", "accelerate", "librosa"}
"""They take seconds to import, in which the server already answers: only these folders may name them."""
HEAVY_ALLOWED = {"whisper", "transcription", "audio"}

FILES = sorted(PACKAGE.rglob("*.py"))

CHECKOUT = Path(__file__).parents[1]
AROUND = sorted(path for folder in ("tests", "bench") for path in (CHECKOUT / folder).rglob("*.py"))
"""What is not installed with the package."""


def layer_of(part: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if part in layer)


def imported_modules(path: Path) -> Iterator[str]:
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    part = part_of(path)
    for module in imported_modules(path):
        names = module.split(".")
        if names[0] != NAME or len(names) == 1:
            continue
        assert names[1] == part or layer_of(names[1]) < layer_of(part), f"{path.name} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_imports_stay_where_they_belong(path: Path) -> None:
    heavy = {module.split(".")[0] for module in imported_modules(path)} & HEAVY
    assert not heavy or part_of(path) in HEAVY_ALLOWED, f"{path.name} imports {heavy}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_kernels_import_numba(path: Path) -> None:
    """Kernels run on few processors; elsewhere numba would cost memory and a second of every start."""
    compilers = {module.split(".")[0] for module in imported_modules(path)} & {"numba", "llvmlite"}
    assert not compilers or path.parent == PACKAGE / "whisper" / "kernels", f"{path.name} imports {compilers}"


def test_process_symbols_are_loaded_in_one_place() -> None:
    """`ctypes.CDLL(None)` raises TypeError on Windows."""
    assert [path for path in FILES if "CDLL(None)" in path.read_text()] == [PACKAGE / "whisper" / "process.py"]


def test_settings_stop_at_the_composition_root() -> None:
    users = {part_of(path) for path in FILES if f"{NAME}.config" in set(imported_modules(path))}
    assert users <= {"composition", "cli", "ray_serve"}


def test_no_cycles_between_modules() -> None:
    modules = {".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES}
    edges = {name: {m for m in imported_modules(path) if m in modules} for name, path in modules.items()}
    while edges:
        leaves = {name for name, targets in edges.items() if not targets & edges.keys()}
        assert leaves, f"these import one another: {sorted(edges)}"
        edges = {name: targets for name, targets in edges.items() if name not in leaves}


@pytest.mark.parametrize("path", [*FILES, *AROUND], ids=lambda path: "/".join(path.parts[-3:]))
def test_files_stay_small(path: Path) -> None:
    assert path.read_text().count("\n") <= 300


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_stay_small(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"
