"""The decoder's pass over a text that is known: what it attends to in the window the text was heard in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossKVCache
from hf_asr_endpoint.whisper.model.decoder import BatchBuilder, Decoder

Head = tuple[int, int]
"""A decoder layer, and one of its heads."""

MAX_HEADS_PER_ALIGNMENT_HEAD = 10  # heads in the last half of the layers for each alignment head among them


def select_alignment_heads(
    alignment_heads: Sequence[Sequence[int]] | None, *, n_layers: int, n_heads: int
) -> list[Head]:
    """Return the heads whose mean attention follows the speech.

    alignment_heads: those that the checkpoint names (layer, head), if it does.

    That is openai/whisper's choice for models without alignment heads, all heads of the last half of the
    layers, with the named ones. Those alone attend too early in whisper-base and too late in whisper-tiny.en,
    by up to 0.1 s, which the others make up for. Models so large that the named heads would be lost among them
    keep to the named ones.
    """
    # A distilled model may still name its teacher's.
    named = {
        (layer, head)
        for layer, head in alignment_heads or ()
        if layer in range(n_layers) and head in range(n_heads)
    }
    half = {(layer, head) for layer in range(n_layers // 2, n_layers) for head in range(n_heads)}
    return sorted(named if named and len(half) > MAX_HEADS_PER_ALIGNMENT_HEAD * len(named) else named | half)


class Aligner:
    """Feeds texts to the decoder. Of the caches it overwrites the slots' own rows of self-attention."""

    def __init__(
        self,
        decoder: Decoder,
        windows: CrossKVCache,
        batches: BatchBuilder,
        *,
        heads: Sequence[Head],
        eot: int,
        logits: Callable[[Tensor], Tensor],
    ) -> None:
        """logits: of features, shape = (n_rows, d_model)."""
        self._decoder = decoder
        self._windows = windows
        self._batches = batches
        self._n_heads = len(heads)
        self._heads: dict[int, list[int]] = defaultdict(list)  # by layer
        for layer, head in heads:
            self._heads[layer].append(head)
        self._eot = eot
        self._logits = logits

    def __call__(self, texts: Mapping[int, AlignmentInput]) -> dict[int, AlignmentOutput]:
        """Feed texts, by slot, all in one pass; the slots' decoding has ended."""
        slots = sorted(texts)
        fed = [(*texts[slot].prompt, *texts[slot].tokens) for slot in slots]
        n_fed = max(map(len, fed))
        batch = self._batches.build(
            slots=slots,
            # What fills up the shorter ones comes behind their end, where nothing that counts sees it.
            tokens=[tokens + (self._eot,) * (n_fed - len(tokens)) for tokens in fed],
            begins=[0] * len(slots),
        )
        weights: dict[int, Tensor] = {}  # by slot

        def add(layer: int, queries: Tensor) -> None:
            for row, slot in enumerate(slots):
                of_layer = self._weights(layer, queries[row], slot=slot, text=texts[slot])
                weights[slot] = weights[slot] + of_layer if slot in weights else of_layer

        features = self._decoder(batch, on_queries=add)
        return {
            slot: AlignmentOutput(
                weights=(weights[slot] / self._n_heads).cpu().numpy(),
                probabilities=self._probabilities(features[row], texts[slot]),
            )
            for row, slot in enumerate(slots)
        }

    def _weights(self, layer: int, queries: Tensor, *, slot: int, text: AlignmentInput) -> Tensor:
        """Return the sum of the attention of a layer's heads, float32, shape = (n_tokens + 1, n_positions).

        queries: shape = (n_fed, n_heads, head_dim). In float32 and without the padding, unlike in the pass itself.
        """
        heads = self._heads[layer]
        keys = self._windows.keys(slot, layer)[heads, : text.n_positions]
        begin = len(text.prompt) - 1
        own = queries[begin : begin + len(text.tokens) + 1, heads].transpose(0, 1).float()
        return torch.softmax(own @ keys.transpose(1, 2), dim=-1).sum(dim=0)

    def _probabilities(self, features: Tensor, text: AlignmentInput) -> tuple[float, ...]:
        """Return each text token's, given the text before it."""
        begin = len(text.prompt) - 1
        logits = self._logits(features[begin : begin + len(text.tokens)])[
            :, : self._eot
        ]  # (n_tokens, n_text_tokens)
        chosen = torch.tensor(text.tokens, device=logits.device)[:, None]
        logprobs = logits.gather(1, chosen)[:, 0] - logits.logsumexp(dim=1)
        probabilities: list[float] = logprobs.exp().tolist()
        return tuple(probabilities)
