"""Packs whisper-tiny.en and some clips into small files, for a GPU machine without access to a network.

Pack where the project is installed: `python -m bench.gpu.packed --target build/gpu`. Unpacking needs only numpy
and safetensors.

The weights are float16. Their upper bytes take few values, so Huffman codes shorten them by a third. The matrix of
the vocabulary, half of all weights, is rounded to the 7 bits of mantissa that bfloat16 has; the rest is exact. The
check uses these weights for both sides of each comparison.
"""

from __future__ import annotations

import argparse
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROUNDED = "model.decoder.embed_tokens.weight"
N_ROUNDED_BITS = 3  # of float16's 10 bits of mantissa

SMALL_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
WEIGHTS, CLIPS, FILES = "weights.npz", "clips.npz", "files.json"

PARTS = ("low", "high")  # bytes
INT16_SCALE = 2**15

Halves = npt.NDArray[np.float16]


def round_mantissa(weights: Halves, *, n_bits: int = N_ROUNDED_BITS) -> Halves:
    """Round float16 to a mantissa shorter by `n_bits`: to the nearest number, or to the even one of two."""
    bits = weights.view(np.uint16)
    half = (1 << (n_bits - 1)) - 1 + ((bits >> n_bits) & 1)
    kept: Halves = (((bits + half) >> n_bits) << n_bits).astype(np.uint16).view(np.float16)
    return kept


def pack(weights: Halves) -> dict[str, npt.NDArray[np.uint8]]:
    """Return the lower and the upper bytes of float16 numbers, each Huffman-coded."""
    pairs = np.ascontiguousarray(weights).view(np.uint8).reshape(-1, 2)
    return {name: _huffman(pairs[:, index]) for index, name in enumerate(PARTS)}


def unpack(parts: Mapping[str, npt.NDArray[np.uint8]], shape: Iterable[int]) -> Halves:
    """Return the numbers that `pack` packed."""
    columns = [np.frombuffer(zlib.decompress(parts[name].tobytes(), -15), np.uint8) for name in PARTS]
    halves: Halves = np.stack(columns, axis=1).view(np.float16).reshape(tuple(shape))
    return halves


def _huffman(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return np.frombuffer(packer.compress(values.tobytes()) + packer.flush(), np.uint8)


def write_packed(directory: Path, clips: Mapping[str, npt.NDArray[np.float32]], target: Path) -> None:
    """Write a model in transformers' format, as float16, and waveforms, as 16-bit integers, into a folder."""
    from safetensors.numpy import load_file

    target.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, weights in load_file(directory / "model.safetensors").items():
        halves = round_mantissa(weights) if name == ROUNDED else weights
        arrays |= {f"{name}/{part}": packed for part, packed in pack(halves).items()}
        arrays[f"{name}/shape"] = np.array(weights.shape)
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
        tensors = {
            name: unpack({part: arrays[f"{name}/{part}"] for part in PARTS}, arrays[f"{name}/shape"])
            for name in sorted({name.rsplit("/", 1)[0] for name in arrays.files})
        }
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
