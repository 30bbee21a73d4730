"""Leaves rows of a batch out of a decoder's work once they have ended.

`generate` computes all rows until the last one ends: for sixteen short clips, that is twice the work. So hooks on
the model leave out those that have ended, and put the logits of the others where `generate` expects them. It
ignores the logits of rows that have ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.generation.stopping_criteria import StoppingCriteria
from transformers.modeling_outputs import BaseModelOutput

from hf_asr_endpoint.transformers_models.cross_attention import CrossAttention, HeardWindows

MIN_ENDED = 0.25  # of the rows that are computed: for fewer, the others' keys and values are not copied


class RunningRows(StoppingCriteria):
    """The rows of one call of `generate` without beams, of which it is a criterion that never stops anything."""

    def __init__(
        self, model: Any, cross_attention: CrossAttention, windows: HeardWindows, *, ending: tuple[int, ...]
    ) -> None:
        """model: a WhisperForConditionalGeneration. ending: tokens after which a row has ended."""
        self._model = model
        self._cross_attention = cross_attention
        self._windows = windows  # of the rows that are computed
        self._ending = torch.tensor(ending)
        self._rows = torch.arange(len(windows))  # that are computed
        self._has_ended = torch.zeros(len(windows), dtype=torch.bool)

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Leave the rows that have ended out of the model's calls meanwhile."""
        before = self._model.register_forward_pre_hook(self._select, with_kwargs=True)
        behind = self._model.register_forward_hook(self._put_back)
        try:
            with self._cross_attention.over(self._windows):
                yield
        finally:
            before.remove()
            behind.remove()

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
        """See which rows have ended."""
        self._has_ended |= torch.isin(input_ids[:, -1].cpu(), self._ending)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    def _select(self, _: Any, arguments: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        has_ended = self._has_ended[self._rows]
        if MIN_ENDED * len(has_ended) <= int(has_ended.sum()) < len(has_ended):
            self._leave_out(has_ended, named["past_key_values"])
        if len(self._rows) < len(self._has_ended):
            tokens = named["decoder_input_ids"]
            named["decoder_input_ids"] = tokens[self._rows.to(tokens.device)]
            named["encoder_outputs"] = BaseModelOutput(self._windows.features)
        return arguments, named

    def _leave_out(self, has_ended: Tensor, cache: Any) -> None:
        """Go on without these rows. cache: the EncoderDecoderCache of this decoding."""
        kept = (~has_ended).nonzero()[:, 0]
        self._rows = self._rows[kept]
        self._windows = self._windows.select(kept)
        self._cross_attention.change(self._windows)
        cache.self_attention_cache.batch_select_indices(kept)  # Layers may be on several devices.
        cache.cross_attention_cache = self._windows.keys_and_values

    def _put_back(self, _: Any, arguments: Any, output: Any) -> Any:
        logits = output.logits
        if len(logits) < len(self._has_ended):
            output.logits = logits.new_zeros(len(self._has_ended), *logits.shape[1:])
            output.logits[self._rows.to(logits.device)] = logits
        return output
