"""The decoder's pass over known texts, which yields each text's attention to its window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossKVReader
from hf_asr_endpoint.whisper.model.decoder import BatchBuilder, DecoderPass

Head = tuple[int, int]
"""A decoder layer, and one of its heads."""

MAX_HEADS_PER_ALIGNMENT_HEAD = 10  # heads of the last half of the layers, for each alignment head


def select_alignment_heads(
    alignment_heads: Sequence[Sequence[int]] | None, *, n_layers: int, n_heads: int
) -> list[Head]:
    """Return the heads whose mean attention follows the speech.

    alignment_heads: those that the checkpoint names, (layer, head), if it does.

    These are all heads of the last half of the layers, openai/whisper's choice for models without alignment heads,
    together with the named ones. On their own the named heads attend too early in whisper-base and too late in
    whisper-tiny.en, by up to 0.1 s; averaging over the others corrects this. In a model so large that the named
    heads would have little weight in this mean, only the named heads are used.
    """
    # A distilled model may name heads of its teacher that it does not have.
    named = {
        (layer, head)
        for layer, head in alignment_heads or ()
        if layer in range(n_layers) and head in range(n_heads)
    }
    last_half = {(layer, head) for layer in range(n_layers // 2, n_layers) for head in range(n_heads)}
    is_large = len(last_half) > MAX_HEADS_PER_ALIGNMENT_HEAD * len(named)
    return sorted(named if named and is_large else named | last_half)


class Aligner:
    """Feeds texts to the decoder. Overwrites the slots' self-attention cache, but not their windows."""

    def __init__(
        self,
        decoder: DecoderPass,
        cross_kv: CrossKVReader,
        batches: BatchBuilder,
        *,
        heads: Sequence[Head],
        eot: int,
        logits: Callable[[Tensor], Tensor],
    ) -> None:
        """logits: computes logits from features, shape = (n_rows, d_model)."""
        self._decoder = decoder
        self._cross_kv = cross_kv
        self._batches = batches
        self._n_heads = len(heads)
        self._heads: dict[int, list[int]] = defaultdict(list)  # by layer
        for layer, head in heads:
            self._heads[layer].append(head)
        self._eot = eot
        self._logits = logits

    def align(self, inputs: Mapping[int, AlignmentInput]) -> dict[int, AlignmentOutput]:
        """Feed texts, by slot, in one pass. The decoding in these slots has ended."""
        slots = sorted(inputs)
        fed = [(*inputs[slot].prompt, *inputs[slot].tokens) for slot in slots]
        n_fed = max(map(len, fed))
        batch = self._batches.build(
            slots=slots,
            # Padding follows a shorter text's end, where no token of the text attends to it.
            tokens=[tokens + (self._eot,) * (n_fed - len(tokens)) for tokens in fed],
            n_cached=[0] * len(slots),
        )
        weights: dict[int, Tensor] = {}  # by slot

        def add_layer(layer: int, queries: Tensor) -> None:
            for row, slot in enumerate(slots):
                layer_weights = self._layer_weights(layer, queries[row], slot=slot, text=inputs[slot])
                weights[slot] = weights[slot] + layer_weights if slot in weights else layer_weights

        features = self._decoder(batch, on_cross_queries=add_layer)
        return {
            slot: AlignmentOutput(
                weights=(weights[slot] / self._n_heads).cpu().numpy(),
                probabilities=self._probabilities(features[row], inputs[slot]),
            )
            for row, slot in enumerate(slots)
        }

    def _layer_weights(self, layer: int, queries: Tensor, *, slot: int, text: AlignmentInput) -> Tensor:
        """Return the sum of the attention of a layer's heads, float32, shape = (n_tokens + 1, n_positions).

        Computed again, in float32 and over the audio's positions alone: the decoder's own attention includes the
        padding. queries: shape = (n_fed, n_heads, head_dim).
        """
        heads = self._heads[layer]
        keys = self._cross_kv.keys(slot, layer)[heads, : text.n_positions]
        begin = len(text.prompt) - 1
        text_queries = queries[begin : begin + len(text.tokens) + 1, heads].transpose(0, 1).float()
        return torch.softmax(text_queries @ keys.transpose(1, 2), dim=-1).sum(dim=0)

    def _probabilities(self, features: Tensor, text: AlignmentInput) -> tuple[float, ...]:
        """Return the probability of each text token after those before it, among all text tokens."""
        begin = len(text.prompt) - 1
        logits = self._logits(features[begin : begin + len(text.tokens)])
        logits = logits[:, : self._eot]  # (n_tokens, n_text_tokens)
        chosen = torch.tensor(text.tokens, device=logits.device)[:, None]
        logprobs = logits.gather(1, chosen)[:, 0] - logits.logsumexp(dim=1)
        probabilities: list[float] = logprobs.exp().tolist()
        return tuple(probabilities)
