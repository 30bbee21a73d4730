"""Windows encoded together have the features of each alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hf_asr_endpoint.units import N_POSITIONS
from hf_asr_endpoint.whisper.checkpoint.loader import load_checkpoint
from hf_asr_endpoint.whisper.device.ragged_encoder import (
    RaggedEncoder,
    WindowBounds,
    attend_by_flash,
    attend_by_window,
    choose_attention,
    n_positions,
    window_ends,
)
from hf_asr_endpoint.whisper.device.weights import encoder_weights
from hf_asr_endpoint.whisper.model.encoder import Encoder
from hf_asr_endpoint.whisper.model.layers import linear_factory

pytestmark = pytest.mark.usefixtures("one_thread")


@torch.inference_mode()
def test_windows_together_are_as_the_hosts_encoder_computes_each(tiny_en_directory: Path) -> None:
    checkpoint = load_checkpoint(tiny_en_directory, device="cpu", dtype="float32")
    config, generator = checkpoint.config, torch.Generator().manual_seed(0)
    frames = (200, 90, 90, 401)
    mels = [torch.rand((config.num_mel_bins, n), generator=generator) * 2 - 1 for n in frames]
    make_linear = linear_factory(arithmetic="float", n_rows=N_POSITIONS)
    alone = Encoder(
        checkpoint.tensors.under("model.encoder"),
        make_linear,
        make_linear,
        n_layers=config.encoder_layers,
        head_dim=config.d_model // config.encoder_attention_heads,
    )
    lengths = tuple(n_positions(mel) for mel in mels)
    bounds = WindowBounds(lengths=lengths, ends=window_ends(lengths))
    together = RaggedEncoder(encoder_weights(checkpoint.tensors, config))(mels, bounds)
    torch.testing.assert_close(together, torch.cat(alone(mels)), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("lengths", "dtype", "has_flash", "by_flash"),
    [
        ((5, 3), torch.float16, True, True),
        ((5, 5), torch.float16, True, False),
        ((5, 3), torch.float16, False, False),
        ((5, 3), torch.float32, True, False),
    ],
)
def test_unequal_windows_take_one_call_where_there_is_flash_attention(
    monkeypatch: pytest.MonkeyPatch,
    lengths: tuple[int, ...],
    dtype: torch.dtype,
    has_flash: bool,
    by_flash: bool,
) -> None:
    called = []
    for function in (attend_by_flash, attend_by_window):
        monkeypatch.setattr(
            "hf_asr_endpoint.whisper.device.ragged_encoder." + function.__name__,
            lambda heads, bounds, name=function.__name__: called.append(name) or heads,
        )
    bounds = WindowBounds(lengths=lengths, ends=window_ends(lengths))
    choose_attention(dtype, has_flash=has_flash)(torch.zeros(1), bounds)
    assert called == ["attend_by_flash" if by_flash else "attend_by_window"]
