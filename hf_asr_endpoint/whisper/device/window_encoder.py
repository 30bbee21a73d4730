"""Encoding of windows into slots, several together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from hf_asr_endpoint.whisper.device.accelerator import Accelerator
from hf_asr_endpoint.whisper.device.caches import SlotWindows
from hf_asr_endpoint.whisper.device.ragged_encoder import RaggedEncoder, WindowBounds, n_positions, window_ends
from hf_asr_endpoint.whisper.device.spectrograms import DeviceSpectrograms
from hf_asr_endpoint.whisper.device.weights import DecoderWeights
from hf_asr_endpoint.whisper.log_mel import Window, frames_of


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
        self._spectrograms = DeviceSpectrograms(encoder.n_mels, accelerator, encoder.dtype)
        self.max_windows = max_windows

    def encode(self, windows: Mapping[int, Window]) -> None:
        """Encode windows, by slot. Slots that are given the same object share it.

        Raises torch.OutOfMemoryError when memory does not suffice for a single window.
        """
        slots_by_window: dict[int, list[int]] = defaultdict(list)
        for slot, window in windows.items():
            slots_by_window[id(window)].append(slot)
        # Windows of equal length stand together: attention takes them in one call.
        groups = sorted(slots_by_window.values(), key=lambda slots: frames_of(windows[slots[0]]))
        while groups:
            batch = groups[: self.max_windows]
            try:
                self._encode_together(batch, [windows[slots[0]] for slots in batch])
            except torch.OutOfMemoryError:
                self._accelerator.release_memory()
                if len(batch) == 1:
                    raise
                self.max_windows = len(batch) // 2
            else:
                groups = groups[len(batch) :]

    def _encode_together(self, groups: Sequence[Sequence[int]], windows: Sequence[Window]) -> None:
        """Encode a window for each group of slots."""
        mels = self._spectrograms(windows)
        lengths = tuple(n_positions(mel) for mel in mels)
        bounds = WindowBounds(lengths=lengths, ends=self._accelerator.upload(window_ends(lengths)))
        features = self._encoder(mels, bounds)
        self._windows.assign(groups, lengths)
        self._windows.write(self._weights, features, bounds, groups)
