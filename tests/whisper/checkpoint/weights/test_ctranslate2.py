from __future__ import annotations

import struct

import numpy as np
import pytest

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.ctranslate2 import Array, read_model
from tests.whisper.conftest import make_model_bin

ORIGIN = "model.bin of the test"
VARIABLES: dict[str, Array] = {
    "encoder/num_heads": np.array(6, np.int8),
    "encoder/layer_0/self_attention/layer_norm/gamma": np.arange(4, dtype=np.float32),
    "encoder/layer_1/self_attention/layer_norm/gamma": np.arange(4, dtype=np.float16),
    "decoder/layer_0/self_attention/layer_norm/gamma": np.arange(4, dtype=np.float16),
    "decoder/embeddings/weight": np.arange(6, dtype=np.float16).reshape(2, 3),
    "encoder/conv1/weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "decoder/lengths": np.array([-1, 2], np.int32),
}
ALIASES = {"decoder/projection/weight": "decoder/embeddings/weight"}
MODEL_BIN = make_model_bin(VARIABLES, aliases=ALIASES)


def refusal(data: bytes) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        read_model(memoryview(data), origin=ORIGIN)
    assert ORIGIN in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("version", [4, 5, 6])
def test_variables_round_trip(version: int) -> None:
    model = read_model(memoryview(make_model_bin(VARIABLES, version=version)), origin=ORIGIN)
    assert model.variables.keys() == VARIABLES.keys()
    for name, expected in VARIABLES.items():
        np.testing.assert_array_equal(model.variables[name], expected, strict=True)


def test_scalar_is_read_as_a_number() -> None:
    assert int(read_model(memoryview(MODEL_BIN), origin=ORIGIN).variables["encoder/num_heads"]) == 6


def test_alias_shares_the_memory_of_its_variable() -> None:
    variables = read_model(memoryview(MODEL_BIN), origin=ORIGIN).variables
    assert np.shares_memory(variables["decoder/projection/weight"], variables["decoder/embeddings/weight"])


def test_variables_are_not_copied() -> None:
    data = np.frombuffer(MODEL_BIN, np.uint8)
    variables = read_model(memoryview(data), origin=ORIGIN).variables
    assert all(np.shares_memory(array, data) for array in variables.values())


def test_layers_are_counted_for_each_stack() -> None:
    model = read_model(memoryview(MODEL_BIN), origin=ORIGIN)
    assert (model.n_layers("encoder"), model.n_layers("decoder")) == (2, 1)


def test_truncated_file_is_refused() -> None:
    for n_bytes in range(len(MODEL_BIN)):
        refusal(MODEL_BIN[:n_bytes])


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF], ids=hex)
def test_wrong_byte_raises_no_other_error(mask: int) -> None:
    n_refused = 0
    for position in range(len(MODEL_BIN)):
        data = bytearray(MODEL_BIN)
        data[position] ^= mask
        try:
            read_model(memoryview(bytes(data)), origin=ORIGIN)
        except ModelUnavailable:
            n_refused += 1
    assert 0 < n_refused < len(MODEL_BIN)  # Wrong values and names cannot be detected.


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(make_model_bin(VARIABLES, specification="TransformerSpec"), id="another CTranslate2 model"),
        pytest.param(make_model_bin(VARIABLES, specification="WhisperSpecial"), id="longer name"),
        pytest.param(b"", id="empty"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", id="Git LFS pointer"),
        pytest.param(b"PK\x03\x04" + bytes(200), id="zip"),
    ],
)
def test_other_kind_of_file_is_refused(data: bytes) -> None:
    assert "is not a Whisper model in CTranslate2's format" in refusal(data)


@pytest.mark.parametrize("version", [0, 3, 7, 2**32 - 1])
def test_unknown_binary_version_is_refused(version: int) -> None:
    message = refusal(make_model_bin(VARIABLES, version=version))
    assert f"binary version {version}" in message
    assert "4 to 6" in message


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        pytest.param("int8", "int8", id="int8"),
        pytest.param("int16", "int16", id="int16"),
        pytest.param("uint16", "bfloat16", id="bfloat16"),
    ],
)
def test_quantized_matrices_are_refused(dtype: str, name: str) -> None:
    message = refusal(make_model_bin({**VARIABLES, "decoder/embeddings/weight": np.ones((2, 3), dtype)}))
    assert f"has {name} weights" in message
    assert "--quantization float16" in message


def test_unknown_dtype_is_refused() -> None:
    data = make_model_bin({"x": np.zeros(2, np.float32)})
    type_at = data.index(b"x\0") + struct.calcsize("<2sBI")
    assert "unknown dtype 9" in refusal(data[:type_at] + b"\x09" + data[type_at + 1 :])


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        pytest.param((3,), bytes(8), id="fewer values than the shape says"),
        pytest.param((1,), bytes(8), id="more values than the shape says"),
        pytest.param((2,), bytes(7), id="part of a value"),
        pytest.param((2**32 - 1,) * 4, b"", id="shape with more bytes than a computer has"),
        pytest.param((1,) * 255, bytes(4), id="more dimensions than numpy supports"),
    ],
)
def test_shape_that_does_not_fit_its_values_is_refused(shape: tuple[int, ...], content: bytes) -> None:
    data = b"".join(
        [
            make_model_bin({})[: -struct.calcsize("<II")],
            struct.pack("<IH", 1, 2) + b"x\0",
            struct.pack(f"<B{len(shape)}I", len(shape), *shape),
            struct.pack("<BI", 0, len(content)) + content,
            struct.pack("<I", 0),
        ]
    )
    assert "damaged" in refusal(data)


def test_alias_of_an_unknown_variable_is_refused() -> None:
    assert "damaged" in refusal(make_model_bin(VARIABLES, aliases={"a": "b"}))


def test_name_that_is_not_utf8_is_refused() -> None:
    assert "damaged" in refusal(make_model_bin({"xyz": np.zeros(1, np.float32)}).replace(b"xyz", b"\xff\xfe\xfd"))
