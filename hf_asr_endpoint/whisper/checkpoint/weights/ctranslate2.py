"""Reads the variables in CTranslate2's `model.bin` (binary versions 4 to 6), the file of faster-whisper's models.

The format, little-endian:
    file      u32 version, str specification, u32 revision, u32 number of variables, variables,
              u32 number of aliases, aliases
    variable  str name, u8 rank, u32 × rank shape, u8 dtype, u32 number of bytes, data
    alias     str alias, str name of a variable
    str       u16 length including a final NUL, bytes
Source: `serialize` in CTranslate2's `python/ctranslate2/specs/model_spec.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.errors import ModelUnavailable

BINARY_VERSIONS = range(4, 7)
SPECIFICATION = "WhisperSpec"

Array = npt.NDArray[Any]

_DTYPES = {0: "float32", 1: "int8", 2: "int16", 3: "int32", 4: "float16", 5: "bfloat16"}
_FLOAT_DTYPES = ("float32", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class CTranslate2Model:
    """The variables of a `model.bin` by name, as views of the bytes that were read."""

    variables: dict[str, Array]

    def n_layers(self, stack: str) -> int:
        """Return the number of layers of "encoder" or "decoder"."""
        one_per_layer = "/self_attention/layer_norm/gamma"
        return sum(name.startswith(f"{stack}/") and name.endswith(one_per_layer) for name in self.variables)


def read_model(data: memoryview, *, origin: str) -> CTranslate2Model:
    """Parse the content of a `model.bin`.

    origin: where `data` comes from, for error messages.
    Raises ModelUnavailable when it is another kind of file, is truncated or has quantized weights.
    """
    if not _is_whisper_model(bytes(data[:64])):
        raise ModelUnavailable(
            f"{origin} is not a Whisper model in CTranslate2's format; give a directory with one"
        )
    try:
        version, variables = _read(_Reader(data))
    except (struct.error, KeyError, ValueError) as exc:
        raise ModelUnavailable(f"{origin} is damaged ({exc}); copy or download it again") from exc
    if version not in BINARY_VERSIONS:
        raise ModelUnavailable(
            f"{origin} has binary version {version}; allowed: {BINARY_VERSIONS[0]} to {BINARY_VERSIONS[-1]}"
        )
    _check_precision(variables, origin=origin)
    return CTranslate2Model(variables={name: array for name, (_, array) in variables.items()})


def _is_whisper_model(head: bytes) -> bool:
    name = SPECIFICATION.encode() + b"\0"
    return head[4:].startswith(struct.pack("<H", len(name)) + name)


def _check_precision(variables: dict[str, tuple[str, Array]], *, origin: str) -> None:
    matrices = {dtype for dtype, array in variables.values() if array.ndim >= 2}
    if unusable := sorted(matrices.difference(_FLOAT_DTYPES)):
        raise ModelUnavailable(
            f"{origin} has {unusable[0]} weights, which have lost precision; allowed: float16 or float32; "
            "convert the original model again with --quantization float16, or give its name on the Hub"
        )


class _Reader:
    """Reads values one after another. Raises struct.error or ValueError past the end."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def number(self, code: str) -> int:
        (value,) = struct.unpack_from(f"<{code}", self._data, self._position)
        self._position += struct.calcsize(code)
        return int(value)

    def text(self) -> str:
        return bytes(self.take(self.number("H"))[:-1]).decode()

    def take(self, n_bytes: int) -> memoryview:
        part = self._data[self._position : self._position + n_bytes]
        if len(part) < n_bytes:
            raise ValueError(f"it ends at byte {len(self._data)}, inside a variable")
        self._position += n_bytes
        return part


def _read(reader: _Reader) -> tuple[int, dict[str, tuple[str, Array]]]:
    """Return the binary version and, for each variable, its dtype and values; none for an unknown version."""
    version = reader.number("I")
    reader.text()
    reader.number("I")
    if version not in BINARY_VERSIONS:
        return version, {}
    variables = dict(_read_variable(reader) for _ in range(reader.number("I")))
    for _ in range(reader.number("I")):
        alias, name = reader.text(), reader.text()
        variables[alias] = variables[name]
    return version, variables


def _read_variable(reader: _Reader) -> tuple[str, tuple[str, Array]]:
    name = reader.text()
    shape = tuple(reader.number("I") for _ in range(reader.number("B")))
    code = reader.number("B")
    data = reader.take(reader.number("I"))
    if code not in _DTYPES:
        raise ValueError(f"variable {name!r:.100} has the unknown dtype {code}")
    dtype = _DTYPES[code]
    # numpy has no bfloat16; such weights are refused before their values are used.
    array = np.frombuffer(data, "uint16" if dtype == "bfloat16" else dtype)
    return name, (dtype, array.reshape(shape))
