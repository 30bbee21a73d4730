"""Which language is spoken in each part of a window.

The decoder is asked what follows the bare start-of-transcript (openai/whisper, `detect_language`), once for each
part, with cross-attention limited to that part. The window is encoded anyway: this costs a decoder step. A prompt
takes no part in it: text before start-of-transcript would decide the language by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from hf_asr_endpoint.whisper.model.decoder import DecoderBatch, DecoderPass


class LanguageDetector:
    """Scores the parts of a window while its keys and values are computed. Uses no slot's cache."""

    def __init__(
        self,
        decoder: DecoderPass,
        *,
        n_heads: int,
        sot: int,
        score: Callable[[Tensor], list[LanguageScores]],
        device: torch.device,
    ) -> None:
        """score: turns the features after sot, shape = (n_rows, d_model), into scores, one for each row."""
        self._decoder = decoder
        self._n_heads = n_heads
        self._sot = sot
        self._score = score
        self._device = device

    def detect(
        self, spans: Sequence[PositionSpan], keys_and_values: Iterator[Tensor], *, n_positions: int
    ) -> list[LanguageScores]:
        """Return the scores of each span.

        keys_and_values: of each layer, shape = (n_positions, 2 × d_model); all layers are taken.
        """
        hidden = self._hidden(spans, n_positions)

        def attend(layer: int, queries: Tensor) -> Tensor:
            heads = next(keys_and_values).view(n_positions, 2, self._n_heads, -1)
            keys, values = heads.permute(1, 2, 0, 3).float()  # (n_heads, n_positions, head_dim)
            rows = queries[:, 0].transpose(0, 1).float()  # (n_heads, n_spans, head_dim)
            weights = (rows @ keys.transpose(1, 2)).masked_fill(hidden, -torch.inf).softmax(dim=-1)
            attended: Tensor = (weights @ values).transpose(0, 1)[:, None]
            return attended.to(queries.dtype)

        batch = DecoderBatch(
            tokens=torch.full((len(spans), 1), self._sot, device=self._device),
            positions=torch.zeros((len(spans), 1), dtype=torch.int64, device=self._device),
            self_attention=lambda layer, heads: heads[:, :, 2],  # A single token attends to its own value.
            cross_attention=attend,
        )
        return self._score(self._decoder(batch)[:, 0])

    def _hidden(self, spans: Sequence[PositionSpan], n_positions: int) -> Tensor:
        """Return what each span does not attend to: the other spans. Shape = (n_spans, n_positions).

        It attends to the silence, too: without it the model takes 55 of 302 clips for another language.
        """
        positions = torch.arange(n_positions, device=self._device)
        bounds = torch.tensor([(span.begin, span.end) for span in spans], device=self._device)
        inside = (positions >= bounds[:, :1]) & (positions < bounds[:, 1:])
        return inside.any(dim=0) & ~inside
