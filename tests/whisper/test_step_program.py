"""A decode step as a program of kernels gives what the decoder gives, and leaves the same in the caches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.shapes.checkpoint import write_checkpoint
from bench.shapes.sizes import SIZES, Size
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint, load_checkpoint
from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.processor import Level
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from hf_asr_endpoint.whisper.threads import N_CORES
from tests.whisper.levels import every_level, kernels_of

SMALL = Size(
    name="small",
    config=replace(
        SIZES["tiny"].config, d_model=128, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_layers=1, decoder_layers=2, encoder_ffn_dim=256, decoder_ffn_dim=256,
    ),
)  # fmt: skip
N_SLOTS, N_CACHED = 6, 5


@pytest.fixture(scope="module")
def small_directory(base_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("small")
    write_checkpoint(directory, SMALL, tokenizer_from=base_directory)
    return directory


def load(directory: Path, level: Level) -> WhisperCheckpoint:
    dtype = str(kernels_of(level).layout.activations).removeprefix("torch.")
    return load_checkpoint(directory, device="cpu", dtype=dtype)


def load_model(directory: Path, level: Level, kernels: Kernels | None = None) -> WhisperSpeechModel:
    return WhisperSpeechModel(
        load(directory, level), slots=N_SLOTS, arithmetic="int8", kernels=kernels or kernels_of(level)
    )


def fill(model: WhisperSpeechModel, *, sharing: tuple[int, ...] = ()) -> None:
    """Encode a window of another length into each slot, and feed some tokens. sharing: slots with one window."""
    torch.manual_seed(0)
    windows = {slot: torch.randn(80, 200 + 40 * slot) for slot in range(N_SLOTS)}
    model.encode(windows | dict.fromkeys(sharing, windows[sharing[0]] if sharing else None))
    model._decode(range(N_SLOTS), tokens=torch.randint(1000, (N_SLOTS, N_CACHED)).tolist(), n_cached=[0] * N_SLOTS)


def step(
    model: WhisperSpeechModel, slots: list[int], tokens: list[int], *, n_cached: int
) -> tuple[Tensor, Tensor]:
    """Return the logits of a step as a program, and what the decoder gives."""
    assert model._step is not None
    expected = model._logits(
        model._decode(slots, tokens=[[t] for t in tokens], n_cached=[n_cached] * len(slots))[:, 0]
    )
    caches = [memory.keys_and_values.clone() for memory in model._self_kv._by_slot]
    for slot in slots:
        model._self_kv._by_slot[slot].keys_and_values[:, :, :, n_cached] = torch.nan
    found = model._step(
        slots, tokens=tokens, n_cached=[n_cached] * len(slots), sections=[None] * len(slots)
    ).logits.float()
    for memory, cache in zip(model._self_kv._by_slot, caches, strict=True):
        torch.testing.assert_close(memory.keys_and_values, cache, equal_nan=True)
    return found, expected


@every_level
@pytest.mark.parametrize("n_threads", sorted({1, N_CORES}))
@torch.inference_mode()
def test_a_program_gives_what_the_decoder_gives(small_directory: Path, level: Level, n_threads: int) -> None:
    model = load_model(small_directory, level)
    torch.set_num_threads(n_threads)
    fill(model)
    for n_cached, slots in enumerate([[0, 1, 2, 3, 4, 5], [1, 4], [5], [0, 2, 3]], start=N_CACHED):
        found, expected = step(model, slots, [7 * slot + n_cached for slot in slots], n_cached=n_cached)
        assert torch.equal(found, expected)


@every_level
@torch.inference_mode()
def test_beams_share_a_window_and_exchange_their_caches(small_directory: Path, level: Level) -> None:
    model = load_model(small_directory, level)
    fill(model, sharing=(1, 3, 4))
    model._self_kv.copy({1: 3, 3: 4, 4: 1}, n_tokens=N_CACHED)
    found, expected = step(model, [0, 1, 3, 4], [5, 6, 7, 8], n_cached=N_CACHED)
    assert torch.equal(found, expected)


class WithoutBarrier(Kernels):
    """Kernels on threads that cannot wait for one another inside a launch, as with Intel's runtime."""

    run_program = None  # type: ignore[assignment]  # mypy wants the property that it replaces.


@every_level
@torch.inference_mode()
def test_without_a_barrier_each_kernel_is_launched_by_itself(small_directory: Path, level: Level) -> None:
    kernels = kernels_of(level)
    model = load_model(small_directory, level)
    other = load_model(small_directory, level, WithoutBarrier(level, kernels._cache_dir, isa=kernels._isa))
    results = []
    for each in (model, other):
        fill(each)
        results.append(step(each, [0, 2, 5], [1, 2, 3], n_cached=N_CACHED)[0])
    assert torch.equal(*results)


def test_there_is_no_program_without_kernels(small_directory: Path) -> None:
    checkpoint = load_checkpoint(small_directory, device="cpu", dtype="float32")
    assert WhisperSpeechModel(checkpoint, slots=1, arithmetic="float")._step is None
