"""What a decoder pass needs to know of its batch, worked out once for all layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.texts import AttendText, Texts
from hf_asr_endpoint.whisper.windows import Attend, Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderBatch:
    """Tokens to feed, in the order of their slots.

    tokens, positions: int64, shape = (n_sequences, n_tokens). own: how the rows attend to their texts.
    cross: how they attend to their windows.
    """

    tokens: Tensor
    positions: Tensor
    own: AttendText
    cross: Attend


class BatchBuilder:
    """Makes batches over a model's caches."""

    def __init__(self, texts: Texts, windows: Windows, *, device: torch.device) -> None:
        self._texts, self._windows = texts, windows
        self._device = device

    def build(
        self, *, slots: Sequence[int], tokens: Sequence[Sequence[int]], begins: Sequence[int]
    ) -> DecoderBatch:
        """Return the batch that feeds equally many tokens to each slot.

        slots: ascending. begins: how many tokens each slot has been fed.
        """
        n_tokens = len(tokens[0])
        first = torch.tensor(begins, device=self._device)[:, None]
        return DecoderBatch(
            tokens=torch.tensor(tokens, device=self._device),
            positions=first + torch.arange(n_tokens, device=self._device),
            own=self._texts.look(slots, begins=begins, n_tokens=n_tokens),
            cross=self._windows.look(slots, n_tokens=n_tokens),
        )
