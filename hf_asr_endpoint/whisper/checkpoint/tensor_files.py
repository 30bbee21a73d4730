"""Lists the tensors in a checkpoint's weight files, which transformers writes as safetensors or PyTorch pickles.

Only names, shapes and dtypes are read at first; each tensor has a function that reads it later. Knows nothing of
the model. Does not use transformers, whose reader would build a whole model first: three seconds and 140 MB.
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
"""The dtypes that weights may have, by safetensors' names. 8-bit floats are quantized: they need scales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor that has not been read yet.

    is_floating: its dtype is a float of 16 bits or more, so it is not quantized.
    is_shared: `read` returns memory that something else uses too (a mapped file, another tensor), so copy it.
    """

    shape: tuple[int, ...]
    is_floating: bool
    is_shared: bool
    read: Callable[[], Tensor]


def stored_tensors(directory: Path) -> dict[str, StoredTensor]:
    """Return the tensors in the directory's weight files, by the names that the files give them.

    The choice of file is transformers': safetensors before pickles, a single file before an index of several.
    Raises FileNotFoundError when there is none, and the errors of safetensors and torch for damaged files. Pickles
    are loaded without running any code in them.
    """
    formats: list[tuple[str, Callable[[Path], dict[str, StoredTensor]]]] = [
        (SAFETENSORS, _tensors_in_safetensors),
        (PICKLED, _tensors_in_pickle),
    ]
    for name, tensors_in in formats:
        index = directory / f"{name}.index.json"
        if (directory / name).is_file():
            return tensors_in(directory / name)
        if index.is_file():
            shards = [tensors_in(directory / shard) for shard in _shard_names(index)]
            return {key: tensor for shard in shards for key, tensor in shard.items()}
    raise FileNotFoundError(f"neither {SAFETENSORS} nor {PICKLED} exists, nor an index of several such files")


def in_memory(tensors: Mapping[str, Tensor]) -> dict[str, StoredTensor]:
    """Return stored tensors for `tensors`, which are in memory already or in a mapped file."""
    return {name: _from_tensor(tensor) for name, tensor in tensors.items()}


def _from_tensor(tensor: Tensor) -> StoredTensor:
    return StoredTensor(
        shape=tuple(tensor.shape),
        is_floating=tensor.dtype in _FLOATS.values(),
        is_shared=True,
        read=lambda: tensor.detach(),
    )


def _tensors_in_safetensors(path: Path) -> dict[str, StoredTensor]:
    # "pread" copies each tensor into memory of its own. Pages of a mapped file would count as the process's memory
    # for as long as any tensor in the file is kept.
    file = safe_open(path, framework="pt", backend="pread")
    found = {}
    for name in file.keys():  # noqa: SIM118 # `file` is not a mapping and cannot be iterated.
        description = file.get_slice(name)
        found[name] = StoredTensor(
            shape=tuple(description.get_shape()),
            is_floating=description.get_dtype() in _FLOATS,
            is_shared=False,
            read=partial(file.get_tensor, name),
        )
    return found


def _tensors_in_pickle(path: Path) -> dict[str, StoredTensor]:
    # torch wrote plain pickles before version 1.6; only zip archives can be mapped.
    tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    return in_memory({name: value for name, value in tensors.items() if isinstance(value, Tensor)})


def _shard_names(index: Path) -> Iterable[str]:
    names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    if elsewhere := [name for name in names if Path(name).name != name]:
        raise ValueError(f"{index.name} names {elsewhere[0]!r:.100}; allowed: files in the same directory")
    return names
