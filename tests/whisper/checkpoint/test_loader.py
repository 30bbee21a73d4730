from __future__ import annotations

import errno
import json
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.types import ModelInfo, Waveform
from hf_asr_endpoint.whisper.checkpoint import loader
from hf_asr_endpoint.whisper.checkpoint.loader import load_checkpoint
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from tests.parity.decoding import decode, greedy
from tests.parity.recordings import whole_window
from tests.whisper.conftest import replace_file

SPOKEN = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
N_LENGTH_BYTES = 8  # at the beginning of a safetensors file: the length of its header


@pytest.fixture
def copied_directory(tiny_en_directory: Path, tmp_path: Path) -> Path:
    """whisper-tiny.en as links that a test may replace."""
    return link_files(tiny_en_directory, tmp_path / "copy")


def link_files(source: Path, target: Path) -> Path:
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    return target


def refusal(directory: Path) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        load_checkpoint(directory, device="cpu")
    assert str(directory) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_tensors_are_loaded_in_the_given_dtype(tiny_en_directory: Path, dtype: str) -> None:
    checkpoint = load_checkpoint(tiny_en_directory, device="cpu", dtype=dtype)
    assert checkpoint.tensors["model.encoder.conv1.weight"].dtype == getattr(torch, dtype)
    assert checkpoint.info == ModelInfo(
        device="cpu", dtype=dtype, is_multilingual=False, n_mels=80, languages=("en",)
    )


@pytest.mark.parametrize(("supported", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_cpu_uses_bfloat16_if_it_has_instructions_for_it(
    base_directory: Path, monkeypatch: pytest.MonkeyPatch, supported: bool, dtype: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    checkpoint = load_checkpoint(base_directory, device="cpu")
    languages = checkpoint.info.languages
    assert len(languages) == 99
    assert checkpoint.info == ModelInfo(
        device="cpu", dtype=dtype, is_multilingual=True, n_mels=80, languages=languages
    )


@pytest.mark.parametrize(("device", "dtype"), [("cuda", "float16"), ("mps", "float32")])
def test_gpus_have_the_fastest_dtype_that_is_known_to_work(
    tiny_en_directory: Path, monkeypatch: pytest.MonkeyPatch, device: Literal["cuda", "mps"], dtype: str
) -> None:
    backend = torch.cuda if device == "cuda" else torch.backends.mps
    monkeypatch.setattr(backend, "is_available", lambda: True)
    checkpoint = load_checkpoint(tiny_en_directory, device=device)
    assert (checkpoint.info.device, checkpoint.info.dtype) == (device, dtype)


def test_auto_device_is_the_fastest_available(tiny_en_directory: Path) -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert load_checkpoint(tiny_en_directory).info.device == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available here")
def test_unavailable_device_is_refused(tiny_en_directory: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"device 'cuda' is not available; allowed: .*cpu"):
        load_checkpoint(tiny_en_directory, device="cuda")


@pytest.mark.parametrize("n_bytes", [0, 4, N_LENGTH_BYTES, 100, 1_000_000, -1], ids=str)
def test_truncated_weights_are_refused(copied_directory: Path, n_bytes: int) -> None:
    """safetensors raises SafetensorError, which is neither an OSError nor a ValueError."""
    weights = copied_directory / "model.safetensors"
    replace_file(weights, weights.read_bytes()[:n_bytes])
    assert "copy or download it again" in refusal(copied_directory)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"model.safetensors": b"version https://git-lfs.github.com/spec/v1\n"}, id="LFS pointer"),
        pytest.param({"model.safetensors": None}, id="no weights"),
        pytest.param({"model.safetensors": None, "pytorch_model.bin": b""}, id="empty PyTorch file"),
        pytest.param({"model.safetensors": None, "pytorch_model.bin": b"\x80\x02?"}, id="broken pickle"),
        pytest.param({"model.safetensors": None, "model.safetensors.index.json": b"{}"}, id="empty index"),
        pytest.param({"config.json": b"[]"}, id="configuration that is a list"),
        pytest.param({"config.json": b'{"model_type": "whisper"}'}, id="configuration of another size"),
        pytest.param({"config.json": b'{"model_type": "whisper", "d_model": "x"}'}, id="text for a number"),
        pytest.param({"generation_config.json": b'{"suppress_tokens": ["x"]}'}, id="text for a token"),
        pytest.param({"generation_config.json": b"[]"}, id="generation configuration that is a list"),
        pytest.param({"generation_config.json": b'{"sup'}, id="generation configuration that is cut off"),
        pytest.param({"tokenizer.json": b"nonsense"}, id="tokenizer that is not JSON"),
        pytest.param({"tokenizer.json": b"{}"}, id="empty tokenizer"),
        pytest.param({"tokenizer.json": None}, id="no vocabulary"),
        pytest.param({"tokenizer.json": None, "tokenizer_config.json": None}, id="no tokenizer"),
    ],
)
def test_damaged_directory_is_refused(copied_directory: Path, files: dict[str, bytes | None]) -> None:
    for name, content in files.items():
        (copied_directory / name).unlink(missing_ok=True)
        if content is not None:
            (copied_directory / name).write_bytes(content)
    assert re.search(r"\(\w+(: .+)?\); copy or download it again$", refusal(copied_directory))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "there is not enough memory to load the model in {directory} (MemoryError)"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "there is not enough memory to load"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory to load"),
        (
            PermissionError(errno.EACCES, "Permission denied", "config.json"),
            "allow this process to read its files",
        ),
        (OSError("Permission denied (os error 13)"), "allow this process to read its files"),
        (OSError(errno.EIO, "Input/output error", "config.json"), "remove the cause and start again"),
        (OSError(errno.ENOSPC, "No space left on device"), "remove the cause and start again"),
        (Exception("Too many open files (os error 24)"), "remove the cause and start again"),
        (ModuleNotFoundError("No module named 'transformers'"), "because a library is missing"),
    ],
    ids=str,
)
def test_error_that_is_not_damage_is_reported_as_it_is(
    tiny_en_directory: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    """All of them were once reported as a damaged file, to be downloaded again."""

    def fail(directory: Path) -> None:
        raise error

    monkeypatch.setattr(loader, "stored_tensors", fail)
    reason = refusal(tiny_en_directory)
    assert message.format(directory=tiny_en_directory) in reason
    assert str(error) in reason
    assert "download" not in reason


def test_exhausted_file_descriptors_are_not_reported_as_damage(tiny_en_directory: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        reason = refusal(tiny_en_directory)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Too many open files" in reason
    assert "download" not in reason


def test_pickle_with_code_is_refused_without_running_it(copied_directory: Path, tmp_path: Path) -> None:
    class RunsCode:
        def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
            return Path.mkdir, (tmp_path / "ran",)

    (copied_directory / "model.safetensors").unlink()
    torch.save({"model.encoder.conv1.bias": RunsCode()}, copied_directory / "pytorch_model.bin")
    refusal(copied_directory)
    assert not (tmp_path / "ran").exists()


def test_missing_tensor_is_refused(copied_directory: Path, tiny_en_directory: Path) -> None:
    """transformers replaces it by random numbers and only logs that, so the server answered with nonsense."""
    tensors = load_file(tiny_en_directory / "model.safetensors")
    del tensors["model.decoder.layers.1.fc1.weight"]
    (copied_directory / "model.safetensors").unlink()
    save_file(tensors, copied_directory / "model.safetensors", metadata={"format": "pt"})
    assert "model.decoder.layers.1.fc1.weight" in refusal(copied_directory)


def test_tokenizer_of_another_model_is_refused(copied_directory: Path, base_directory: Path) -> None:
    replace_file(copied_directory / "tokenizer.json", (base_directory / "tokenizer.json").read_bytes())
    assert "<|endoftext|> is token 50257 in the tokenizer and 50256 in config.json" in refusal(copied_directory)


def test_pytorch_weights_are_loaded(copied_directory: Path, tiny_en_directory: Path) -> None:
    tensors = load_file(tiny_en_directory / "model.safetensors")
    (copied_directory / "model.safetensors").unlink()
    torch.save(tensors, copied_directory / "pytorch_model.bin")
    loaded = load_checkpoint(copied_directory, device="cpu", dtype="float16").tensors
    name = "model.encoder.conv1.bias"
    torch.testing.assert_close(loaded[name], tensors[name], rtol=0, atol=0)


@pytest.mark.usefixtures("one_thread")
def test_fine_tuned_model_without_generation_config_transcribes(
    base_directory: Path, speech: Waveform, tmp_path: Path
) -> None:
    """`language` and timestamps once raised errors, and texts ended after twenty tokens, in mid-sentence."""
    directory = link_files(base_directory, tmp_path / "fine-tuned")
    (directory / "generation_config.json").unlink()
    checkpoint = load_checkpoint(directory, device="cpu", dtype="float32")
    model = WhisperSpeechModel(checkpoint, slots=1, arithmetic="float")
    vocabulary = Vocabulary(checkpoint.tokenizer, is_multilingual=True)
    state = greedy(vocabulary.prompt(language_token=vocabulary.language_token("en"), task="transcribe"))
    model.encode({0: whole_window(speech)})
    decode(model, {0: state})
    text = checkpoint.tokenizer.decode(state.sampled)
    assert re.sub(r"[^\w\s]", "", text).lower().split() == SPOKEN.split()
    assert max(state.sampled) == pytest.approx(checkpoint.tokenizer.timestamp_begin + 11.0 * 50, abs=25)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"quantization_config": {"quant_method": "bitsandbytes"}},
            "its weights are quantized; allowed: floating-point weights",
        ),
        ({"activation_function": "relu"}, "its activation is 'relu'; allowed: 'gelu'"),
        ({"max_source_positions": 750}, "has max_source_positions = 750; allowed: 1500"),
        ({"max_target_positions": 449}, "has max_target_positions = 449; allowed: 448"),
        ({"decoder_attention_heads": 5}, "has d_model = 384 and 5 attention heads in its decoder; allowed"),
    ],
    ids=["quantized", "activation", "window", "decoder length", "attention heads"],
)
def test_unsupported_model_is_refused(copied_directory: Path, changes: dict[str, object], reason: str) -> None:
    config = json.loads((copied_directory / "config.json").read_bytes())
    replace_file(copied_directory / "config.json", json.dumps({**config, **changes}).encode())
    assert reason in refusal(copied_directory)
