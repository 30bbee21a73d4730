"""Keys and values by slot, in memory that is allocated once and never moved: graphs keep its addresses.

What is behind a text's last token or a window's last position is finite, always: torch's attention hides it by
multiplying it with 0, and 0 times NaN is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.device.ragged_encoder import WindowBounds
from hf_asr_endpoint.whisper.device.weights import DecoderWeights
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossAttentionStep
from hf_asr_endpoint.whisper.kv_cache.self_kv import SelfAttentionStep

Upload = Callable[[Tensor], Tensor]
"""Copies a tensor of the host to the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCaches:
    """Keys and values, shape = (n_layers, 2, n_slots, n_heads, capacity, head_dim).

    own: of the texts' tokens. windows: of the windows' positions.
    """

    own: Tensor
    windows: Tensor


def new_caches(weights: DecoderWeights, *, n_slots: int, max_tokens: int, max_positions: int) -> SlotCaches:
    n_layers, d_model = len(weights.layers), weights.embeddings.shape[1]
    own, windows = (
        weights.embeddings.new_zeros((n_layers, 2, n_slots, weights.n_heads, capacity, d_model // weights.n_heads))
        for capacity in (max_tokens, max_positions)
    )
    return SlotCaches(own=own, windows=windows)


class SlotSelfKV:
    """A `SelfKVCache` over the slots' texts, for passes of several tokens."""

    def __init__(self, cache: Tensor, upload: Upload) -> None:
        """cache: see `SlotCaches.own`."""
        self._cache, self._upload = cache, upload

    def attention_for(self, slots: Sequence[int], *, n_cached: Sequence[int], n_tokens: int) -> SelfAttentionStep:
        rows, first = self._upload(torch.tensor([list(slots), list(n_cached)]))
        n_seen = max(n_cached) + n_tokens
        positions = first[:, None] + torch.arange(n_tokens, device=rows.device)
        is_hidden = torch.arange(n_seen, device=rows.device) > positions[:, :, None]

        def attend(layer: int, heads: Tensor) -> Tensor:
            cache = self._cache[layer]
            cache[:, rows[:, None], :, positions] = heads[:, :, 1:]
            keys, values = cache[:, rows, :, :n_seen]
            return attend_from_tokens(heads[:, :, 0], keys, values, is_hidden)

        return attend

    def copy(self, sources: Mapping[int, int], *, n_tokens: int) -> None:
        written, read = self._upload(torch.tensor([list(sources), list(sources.values())]))
        self._cache[:, :, written, :, :n_tokens] = self._cache[:, :, read, :, :n_tokens]

    def clear(self, slots: Sequence[int]) -> None:
        """Prepare slots for new texts."""
        self._cache.index_fill_(2, self._upload(torch.tensor(list(slots))), 0)

    def free(self, slot: int) -> None:
        """See `clear`, which does it when the slot's next text begins."""


class SlotWindows:
    """The windows of slots, and a `CrossKVReader` over them. Slots that share a window have its number."""

    def __init__(self, cache: Tensor, upload: Upload, *, copies: bool) -> None:
        """cache: see `SlotCaches.windows`. copies: whether each slot needs its window in its own rows."""
        self._cache, self._upload, self._copies = cache, upload, copies
        self._first: dict[int, int] = {}  # by slot, the first of those that share its window
        self._lengths: dict[int, int] = {}  # by slot, in positions

    def length(self, slot: int) -> int:
        return self._lengths[slot]

    def window(self, slot: int) -> int:
        """Return the slot whose rows a slot's steps read."""
        return slot if self._copies else self._first[slot]

    def window_id(self, slot: int) -> int:
        return self._first[slot]

    def assign(self, groups: Sequence[Sequence[int]], lengths: Sequence[int]) -> None:
        """Give windows to slots. groups: the slots that share each window. lengths: of the windows."""
        for slots, length in zip(groups, lengths, strict=True):
            self._first |= dict.fromkeys(slots, slots[0])
            self._lengths |= dict.fromkeys(slots, length)

    def free(self, slot: int) -> None:
        self._first.pop(slot, None)
        self._lengths.pop(slot, None)

    def write(
        self, weights: DecoderWeights, features: Tensor, bounds: WindowBounds, groups: Sequence[Sequence[int]]
    ) -> None:
        """Cache the windows' keys and values. features: shape = (sum of lengths, d_model)."""
        targets = [list(slots) if self._copies else [slots[0]] for slots in groups]
        runs, first, window = [], 0, 0
        for length, n_windows in bounds.runs:
            of_run = targets[window : window + n_windows]
            pairs = [(index, slot) for index, slots in enumerate(of_run) for slot in slots]
            sources, slots = self._upload(torch.tensor(pairs).t().contiguous())
            runs.append((first, length, n_windows, sources, slots))
            first, window = first + length * n_windows, window + n_windows
        for layer, cache in zip(weights.layers, self._cache, strict=True):
            projected = F.linear(features, *layer.cross_kv)
            for first, length, n_windows, sources, slots in runs:
                part = projected[first : first + length * n_windows]
                heads = part.view(n_windows, length, 2, weights.n_heads, -1).permute(2, 0, 3, 1, 4)
                cache[:, slots, :, :length] = heads[:, sources]
                cache[:, :, :, length:].index_fill_(1, slots, 0)

    def layer(self, slot: int, layer: int) -> Tensor:
        """Return a layer's keys and values, shape = (n_positions, 2 × d_model)."""
        cached = self._cache[layer, :, self._first[slot], :, : self._lengths[slot]]
        return cached.permute(2, 0, 1, 3).flatten(1)

    def keys(self, slot: int, layer: int) -> Tensor:
        return self._cache[layer, 0, self._first[slot], :, : self._lengths[slot]].float()

    def attention_for(self, slots: Sequence[int], *, n_tokens: int) -> CrossAttentionStep:
        lengths = [self._lengths[slot] for slot in slots]
        rows, ends = self._upload(torch.tensor([[self._first[slot] for slot in slots], lengths]))
        longest = max(lengths)
        is_hidden = torch.arange(longest, device=rows.device) >= ends[:, None]

        def attend(layer: int, queries: Tensor) -> Tensor:
            keys, values = self._cache[layer][:, rows, :, :longest]
            return attend_from_tokens(queries, keys, values, is_hidden[:, None])

        return attend


def attend_from_tokens(queries: Tensor, keys: Tensor, values: Tensor, is_hidden: Tensor) -> Tensor:
    """Attend from several tokens of each sequence. The result is shaped like the queries.

    queries: scaled, shape = (n_sequences, n_tokens, n_heads, head_dim). keys, values: shape = (n_sequences,
    n_heads, n_positions, head_dim). is_hidden: shape = (n_sequences, n_tokens or 1, n_positions).
    """
    scores = (queries.transpose(1, 2) @ keys.transpose(2, 3)).masked_fill_(is_hidden[:, None], -torch.inf)
    return (scores.softmax(dim=-1) @ values).transpose(1, 2)
