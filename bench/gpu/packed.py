"""Packs whisper-tiny.en and some clips into small files, for a GPU machine without access to a network.

Pack where the project is installed: `python -m bench.gpu.packed --target build/gpu`. Unpacking needs only numpy
and safetensors.

Matrices travel as 8-bit integers with a scale for each row, which are 38 MB, everything else as float16. The check
computes with these weights on both sides of each comparison.
"""

from __future__ import annotations

import argparse
import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

SMALL_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
WEIGHTS, CLIPS, FILES = "weights.npz", "clips.npz", "files.json"

INT16_SCALE = 2**15
INT8_LARGEST = 127

Halves = npt.NDArray[np.float16]


def pack(weights: Halves) -> dict[str, npt.NDArray[np.generic]]:
    """Return a matrix's integers and its rows' scales, or a vector as it is, by the names of these parts."""
    if weights.ndim < 2:
        return {"whole": weights}
    rows = weights.astype(np.float32).reshape(len(weights), -1)
    scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / INT8_LARGEST, np.finfo(np.float16).tiny)
    scales = scales.astype(np.float16)
    integers = np.rint(rows / scales).clip(-INT8_LARGEST, INT8_LARGEST).astype(np.int8)
    return {"integers": integers.reshape(weights.shape), "scales": scales}


def unpack(parts: Mapping[str, npt.NDArray[np.generic]]) -> Halves:
    """Return the numbers that `pack` packed, float16."""
    if "whole" in parts:
        return parts["whole"].astype(np.float16)
    integers = parts["integers"].astype(np.float32)
    rows = integers.reshape(len(integers), -1) * parts["scales"].astype(np.float32)
    return rows.reshape(integers.shape).astype(np.float16)


def write_packed(directory: Path, clips: Mapping[str, npt.NDArray[np.float32]], target: Path) -> None:
    """Write a model in transformers' format, as float16, and waveforms, as 16-bit integers, into a folder."""
    from safetensors.numpy import load_file

    target.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, weights in load_file(directory / "model.safetensors").items():
        arrays |= {f"{name}/{part}": packed for part, packed in pack(weights).items()}
    np.savez(target / WEIGHTS, **arrays)
    np.savez_compressed(target / CLIPS, **{name: _integers(wave) for name, wave in clips.items()})
    texts = {name: (directory / name).read_text() for name in SMALL_FILES}
    (target / FILES).write_bytes(zlib.compress(json.dumps(texts).encode(), 9))


def _integers(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    return np.rint(wave * INT16_SCALE).clip(-INT16_SCALE, INT16_SCALE - 1).astype(np.int16)


def read_model(source: Path, directory: Path) -> None:
    """Unpack the model into an empty folder, in transformers' format."""
    from safetensors.numpy import save_file

    with np.load(source / WEIGHTS) as arrays:
        parts: dict[str, dict[str, npt.NDArray[np.generic]]] = {}
        for key in sorted(arrays.files):
            name, part = key.rsplit("/", 1)
            parts.setdefault(name, {})[part] = arrays[key]
    tensors = {name: unpack(of_tensor) for name, of_tensor in parts.items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    for name, text in json.loads(zlib.decompress((source / FILES).read_bytes())).items():
        (directory / name).write_text(text)


def read_clips(source: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Return the waveforms by file name."""
    with np.load(source / CLIPS) as arrays:
        return {name: arrays[name].astype(np.float32) / INT16_SCALE for name in arrays.files}


def main() -> None:
    from hf_asr_endpoint.audio.decode import decode_audio
    from hf_asr_endpoint.config import Settings
    from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--data", type=Path, default=Path("tests/data"), help="folder of clips (default: %(default)s)"
    )
    arguments = parser.parse_args()
    directory = resolve_model(
        "embedded:whisper-tiny.en", revision=None, cache_dir=Settings().cache_dir, report=lambda _: None
    )
    paths = sorted([*arguments.data.glob("*.flac"), *arguments.data.glob("*.mp3")])
    clips = {path.name: np.concatenate(list(decode_audio(io.BytesIO(path.read_bytes())))) for path in paths}
    write_packed(directory, clips, arguments.target)
    for path in sorted(arguments.target.iterdir()):
        print(f"{path.stat().st_size:>12,} {path.name}")


if __name__ == "__main__":
    main()
