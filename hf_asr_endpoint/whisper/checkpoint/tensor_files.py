"""A checkpoint's files of weights, as transformers writes them: which there are, and the tensors in them by name.

Nothing is read here but names, shapes and dtypes. Imports nothing of transformers, whose reader comes with its
model: three seconds and 140 MB, for parameters that are thrown away once layers are made of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zipfile import is_zipfile

import torch
from safetensors import safe_open
from torch import Tensor

SAFETENSORS, PICKLED = "model.safetensors", "pytorch_model.bin"

_FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
"""What weights may be, by safetensors' names. Those of 8 bits are quantised: they need scales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor that is read when it is asked for. is_floating: not quantised.

    is_shared: what `read` returns lies in memory that others use too: a mapped file, another's tensor.
    """

    shape: tuple[int, ...]
    is_floating: bool
    is_shared: bool
    read: Callable[[], Tensor]


def stored_tensors(directory: Path) -> dict[str, StoredTensor]:
    """Return what the directory's files hold, by the names in them, without reading it.

    The file is chosen as transformers does: safetensors before pickles, one file before an index of several.
    Raises what the libraries raise for files that are damaged, truncated or not there. No pickle runs code.
    """
    files: list[tuple[str, Callable[[Path], dict[str, StoredTensor]]]] = [
        (SAFETENSORS, _in_safetensors),
        (PICKLED, _in_pickle),
    ]
    for name, tensors_in in files:
        index = directory / f"{name}.index.json"
        if (directory / name).is_file():
            return tensors_in(directory / name)
        if index.is_file():
            shards = [tensors_in(directory / shard) for shard in _shards(index)]
            return {key: tensor for shard in shards for key, tensor in shard.items()}
    raise FileNotFoundError(f"no {SAFETENSORS} and no {PICKLED}, nor an index of several such files")


def in_memory(tensors: Mapping[str, Tensor]) -> dict[str, StoredTensor]:
    """Return tensors that have been read already, or that lie in a mapped file."""
    return {name: _held(tensor) for name, tensor in tensors.items()}


def _held(tensor: Tensor) -> StoredTensor:
    return StoredTensor(
        shape=tuple(tensor.shape),
        is_floating=tensor.dtype in _FLOATS.values(),
        is_shared=True,
        read=lambda: tensor.detach(),
    )


def _in_safetensors(path: Path) -> dict[str, StoredTensor]:
    # Read into memory of its own, not mapped: pages of a mapped file count as the process's for as long as any
    # tensor in them is kept.
    file = safe_open(path, framework="pt", backend="pread")
    found = {}
    for name in file.keys():  # noqa: SIM118 # It is no mapping.
        described = file.get_slice(name)
        found[name] = StoredTensor(
            shape=tuple(described.get_shape()),
            is_floating=described.get_dtype() in _FLOATS,
            is_shared=False,
            read=partial(file.get_tensor, name),
        )
    return found


def _in_pickle(path: Path) -> dict[str, StoredTensor]:
    # Files of torch before 1.6 are no archives, and cannot be mapped.
    tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    return in_memory({name: value for name, value in tensors.items() if isinstance(value, Tensor)})


def _shards(index: Path) -> Iterable[str]:
    shards = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    if elsewhere := [shard for shard in shards if Path(shard).name != shard]:
        raise ValueError(f"{index.name} names {elsewhere[0]!r}; allowed: files beside it")
    return shards
