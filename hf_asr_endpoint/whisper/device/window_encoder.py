"""Encoding of windows into slots, several together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.device.accelerator import Accelerator
from hf_asr_endpoint.whisper.device.caches import SlotWindows
from hf_asr_endpoint.whisper.device.ragged_encoder import RaggedEncoder, WindowBounds, n_positions, window_ends
from hf_asr_endpoint.whisper.device.weights import DecoderWeights


class WindowEncoder:
    """Computes windows' features, and caches cross-attention's keys and values in their slots."""

    def __init__(
        self,
        encoder: RaggedEncoder,
        weights: DecoderWeights,
        windows: SlotWindows,
        accelerator: Accelerator,
        *,
        max_windows: int,
    ) -> None:
        """max_windows: that are encoded together; fewer once memory has not sufficed."""
        self._encoder, self._weights, self._windows = encoder, weights, windows
        self._accelerator = accelerator
        self.max_windows = max_windows

    def encode(self, mels: Mapping[int, Tensor]) -> None:
        """Encode mel frames, by slot. Slots that are given the same tensor share its window.

        Raises torch.OutOfMemoryError when memory does not suffice for a single window.
        """
        slots_by_window: dict[int, list[int]] = defaultdict(list)
        for slot, mel in mels.items():
            slots_by_window[id(mel)].append(slot)
        # Windows of equal length stand together: attention takes them in one call.
        groups = sorted(slots_by_window.values(), key=lambda slots: mels[slots[0]].shape[1])
        while groups:
            batch = groups[: self.max_windows]
            try:
                self._encode_together(batch, [mels[slots[0]] for slots in batch])
            except torch.OutOfMemoryError:
                self._accelerator.release_memory()
                if len(batch) == 1:
                    raise
                self.max_windows = len(batch) // 2
            else:
                groups = groups[len(batch) :]

    def _encode_together(self, groups: Sequence[Sequence[int]], mels: Sequence[Tensor]) -> None:
        """Encode a window for each group of slots."""
        lengths, upload = tuple(n_positions(mel) for mel in mels), self._accelerator.upload
        bounds = WindowBounds(lengths=lengths, ends=upload(window_ends(lengths)))
        features = self._encoder([upload(mel.to(self._encoder.dtype)) for mel in mels], bounds)
        self._windows.assign(groups, lengths)
        self._windows.write(self._weights, features, bounds, groups)
