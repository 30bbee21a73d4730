"""What a decoder pass needs to know of its batch, worked out once for all layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.kv_cache import TokenCaches
from hf_asr_endpoint.whisper.runs import neighbours
from hf_asr_endpoint.whisper.windows import Attend, Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Rows of the batch whose slots are neighbours.

    mask: added to the scores, shape = (n_rows × n_heads, n_tokens, n_places).
    """

    rows: slice
    slots: slice
    mask: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderBatch:
    """Tokens to feed, in the order of their slots.

    tokens, positions: int64, shape = (n_sequences, n_tokens). slots: int64, shape = (n_sequences, 1).
    own: what the rows see of their texts. cross: how they attend to their windows.
    """

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    own: tuple[Run, ...]
    cross: Attend


class BatchBuilder:
    """Makes batches over a model's caches."""

    def __init__(self, texts: TokenCaches, windows: Windows, *, device: torch.device, dtype: torch.dtype) -> None:
        self._texts, self._windows = texts, windows
        self._device, self._dtype = device, dtype

    def build(
        self, *, slots: Sequence[int], tokens: Sequence[Sequence[int]], begins: Sequence[int]
    ) -> DecoderBatch:
        """Return the batch that feeds equally many tokens to each slot.

        slots: ascending. begins: how many tokens each slot has been fed.
        """
        n_tokens = len(tokens[0])
        first = torch.tensor(begins, device=self._device)[:, None]
        positions = first + torch.arange(n_tokens, device=self._device)
        return DecoderBatch(
            tokens=torch.tensor(tokens, device=self._device),
            positions=positions,
            slots=torch.tensor(slots, device=self._device)[:, None],
            own=tuple(self._own_runs(slots, positions, room=self._texts.reach(max(begins) + n_tokens))),
            cross=self._windows.look(slots, n_tokens=n_tokens),
        )

    def _own_runs(self, slots: Sequence[int], positions: Tensor, *, room: int) -> Iterator[Run]:
        """Each token sees itself and all before it. room: tokens that the cache reaches to."""
        mask = self._mask(torch.arange(room, device=self._device) > positions[:, :, None])
        n_heads = self._texts.shape.n_heads
        for begin, end in neighbours(slots):
            yield Run(
                rows=slice(begin, end),
                slots=slice(slots[begin], slots[begin] + end - begin),
                mask=mask[begin * n_heads : end * n_heads],
            )

    def _mask(self, is_hidden: Tensor) -> Tensor:
        """is_hidden: shape = (n_sequences, n_tokens, n_places)."""
        mask = torch.zeros(is_hidden.shape, device=self._device, dtype=self._dtype)
        return mask.masked_fill_(is_hidden, -torch.inf).repeat_interleave(self._texts.shape.n_heads, dim=0)
