"""What a Whisper decoder of transformers attends to: encoded windows of any lengths, side by side.

transformers' decoder attends to all that it is given and takes no mask for it. So the keys and values of each
window are computed from the window alone, once, and padded; a mask inside the layers hides the padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import DynamicCache, DynamicLayer, EncoderDecoderCache


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardWindows:
    """features: shape = (n, max_positions, d_model). lengths: the positions of each window. padding: what is added
    to attention scores, shape = (n, 1, 1, max_positions); None where all windows are equally long.
    keys_and_values: of all layers, each shape = (n, n_heads, max_positions, head_dim)."""

    features: Tensor
    lengths: Tensor
    padding: Tensor | None
    keys_and_values: DynamicCache

    def __len__(self) -> int:
        return len(self.features)

    def new_cache(self) -> EncoderDecoderCache:
        """Return a cache for one decoding, without any tokens."""
        return EncoderDecoderCache(DynamicCache(), self.keys_and_values)

    def select(self, rows: Tensor) -> HeardWindows:
        """Return some of the windows, with no more padding than they need."""
        lengths = self.lengths[rows]
        n = int(lengths.max())

        def selected(padded: Tensor, positions: int) -> Tensor:
            """`index_select` is four times as fast as an index (CPU)."""
            return padded.narrow(positions, 0, n).index_select(0, rows.to(padded.device))

        cache = DynamicCache()
        for index, layer in enumerate(self.keys_and_values.layers):
            assert isinstance(layer, DynamicLayer)
            assert layer.keys is not None
            assert layer.values is not None
            cache.update(selected(layer.keys, 2), selected(layer.values, 2), index)
        features = selected(self.features, 1)
        return HeardWindows(
            features=features, lengths=lengths, padding=_padding(lengths, features), keys_and_values=cache
        )


class CrossAttention:
    """The cross-attention of one model. From one thread at a time."""

    def __init__(self, model: Any) -> None:
        """model: a WhisperForConditionalGeneration, whose layers get a hook."""
        self._layers = [layer.encoder_attn for layer in model.model.decoder.layers]
        self._padding: Tensor | None = None
        for layer in self._layers:
            layer.register_forward_pre_hook(self._hide_padding, with_kwargs=True)

    def hear(self, features: Sequence[Tensor]) -> HeardWindows:
        """features: of each window, shape = (n_positions, d_model)."""
        cache = DynamicCache()
        for index, layer in enumerate(self._layers):
            keys = [self._heads(layer, layer.k_proj, window) for window in features]
            values = [self._heads(layer, layer.v_proj, window) for window in features]
            cache.update(_side_by_side(keys), _side_by_side(values), index)
        padded = pad_sequence(list(features), batch_first=True)
        lengths = torch.tensor([len(window) for window in features])
        return HeardWindows(
            features=padded, lengths=lengths, padding=_padding(lengths, padded), keys_and_values=cache
        )

    @contextmanager
    def over(self, windows: HeardWindows) -> Iterator[None]:
        """Hide the padding of these windows from every call of the model meanwhile."""
        self._padding = windows.padding
        try:
            yield
        finally:
            self._padding = None

    def change(self, windows: HeardWindows) -> None:
        """Have `over` go on with these windows."""
        self._padding = windows.padding

    def _hide_padding(self, layer: Any, arguments: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if self._padding is not None:
            named["attention_mask"] = self._padding.to(layer.k_proj.weight.device)
        return arguments, named

    @staticmethod
    def _heads(layer: Any, projection: Any, window: Tensor) -> Tensor:
        """Return keys or values, shape = (n_positions, n_heads, head_dim)."""
        projected: Tensor = projection(window.to(projection.weight.device))
        return projected.view(len(window), layer.num_heads, layer.head_dim)


def _side_by_side(windows: list[Tensor]) -> Tensor:
    """Return shape = (n, n_heads, max_positions, head_dim), as attention reads it."""
    return pad_sequence(windows, batch_first=True).transpose(1, 2).contiguous()


def _padding(lengths: Tensor, features: Tensor) -> Tensor | None:
    if bool((lengths == lengths[0]).all()):
        return None  # A mask keeps attention from its fastest code.
    is_padding = torch.arange(int(lengths.max())) >= lengths[:, None]
    padding = torch.zeros(is_padding.shape, dtype=features.dtype)
    padding = padding.masked_fill(is_padding, torch.finfo(padding.dtype).min)
    return padding[:, None, None].to(features.device)
