"""How many slots fit into a device's memory. Pure."""

from __future__ import annotations

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.config import ModelConfig

USABLE_SHARE = 0.9  # of the free memory: allocations are rounded up, and other processes come and go
LIBRARY_BYTES = 256 << 20  # workspaces of cuBLAS and cuDNN, and what graphs keep
MAX_AUTO_SLOTS = 64
"""More rows hardly decode more: of a step of 64 rows, reading the weights is 14 % in turbo's shape and 9 % in
large-v3's."""

GIGABYTE = 1e9


def slot_bytes(config: ModelConfig, *, width: int) -> int:
    """Return the bytes of a slot's keys and values. width: bytes of a number."""
    n_positions = config.max_source_positions + config.max_target_positions
    return 2 * width * config.decoder_layers * config.d_model * n_positions


def row_bytes(config: ModelConfig, *, width: int) -> int:
    """Return the bytes of a row's logits, and of the float32 copies that the rules make of them."""
    return config.vocab_size * (width + 5 * 4)


def encoder_bytes(config: ModelConfig, *, width: int, n_windows: int) -> int:
    """Return the bytes that a layer needs while it encodes windows of 30 s together."""
    columns = 8 * config.d_model + 2 * config.encoder_ffn_dim
    return n_windows * config.max_source_positions * columns * width


def plan_slots(config: ModelConfig, *, wanted: int | None, free_bytes: int, width: int, n_windows: int) -> int:
    """Return the number of slots. wanted: None takes what fits, up to MAX_AUTO_SLOTS.

    free_bytes: beside the weights. Raises ModelUnavailable when the wanted slots, or a single one, do not fit.
    """
    workspace = LIBRARY_BYTES + encoder_bytes(config, width=width, n_windows=n_windows)
    each = slot_bytes(config, width=width) + row_bytes(config, width=width)
    n_fitting = max(0, int((USABLE_SHARE * free_bytes - workspace) // each))
    if n_fitting < (wanted or 1):
        needed_gb = (workspace + (wanted or 1) * each) / GIGABYTE
        raise ModelUnavailable(
            f"slots is {wanted or 'auto'}, which needs {needed_gb:.1f} GB of the device's memory beside the "
            f"weights; {USABLE_SHARE * free_bytes / GIGABYTE:.1f} GB are free; "
            + (f"allowed: up to {n_fitting}" if n_fitting else "choose a smaller model or device cpu")
        )
    return wanted or min(n_fitting, MAX_AUTO_SLOTS)
