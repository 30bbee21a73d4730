"""A decode step as one program of kernels: from each sequence's last token to the next one.

It computes what `Decoder` does for one token of every sequence, over the same weights and caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.decoding.logit_filters import Sections
from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kernels.layout import BIAS, BIAS_ADD, BIAS_GELU, FORBIDDEN, PART_TOKENS
from hf_asr_endpoint.whisper.kernels.program import Call, Program
from hf_asr_endpoint.whisper.kv_cache.bfloat16_self_kv import Bfloat16SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossKVCache
from hf_asr_endpoint.whisper.kv_cache.int8_cross_kv import Int8CrossKVCache
from hf_asr_endpoint.whisper.kv_cache.self_kv import SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.model.decoder import Decoder, DecoderLayer
from hf_asr_endpoint.whisper.model.linear import Int8TileLinear, Linear

NO_SECTIONS: Sections = ((0, 0), (0, 0))

LINEAR_NAMES = ("self_qkv", "self_out", "cross_q", "cross_out", "fc1", "fc2")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What follows the tokens of a step.

    logits: in the kernels' dtype, shape = (n_rows, n_vocab); the next step overwrites them. chosen: the likeliest
    token of each row that has sections, and its log-probability; of others it means nothing.
    """

    logits: Tensor
    chosen: Sequence[tuple[int, float]]


class StepProgram:
    """The program. Used by one thread at a time."""

    def __init__(
        self,
        decoder: Decoder,
        output: Int8TileLinear,
        self_kv: Bfloat16SelfKVCache,
        cross_kv: Int8CrossKVCache,
        *,
        kernels: Kernels,
        shape: CacheShape,
        suppressed: Sequence[int],
    ) -> None:
        """output: the layer of logits, with the last norm. The decoder's linear layers are Int8TileLinear, too.

        suppressed: tokens that the likeliest is not to be.
        """
        self._decoder, self._self_kv, self._cross_kv = decoder, self_kv, cross_kv
        d_model, dtype = shape.n_heads * shape.head_dim, kernels.layout.activations

        def rows(n_columns: int) -> Tensor:
            return torch.zeros((shape.slots, n_columns), dtype=dtype)

        self._x, self._logits = rows(d_model), rows(output.n_out)
        self._heads, self._queries, self._attended = rows(3 * d_model), rows(d_model), rows(d_model)
        self._hidden = rows(_tiles(decoder.layers[0])["fc1"].n_out)
        layers = [_tiles(layer) for layer in decoder.layers]
        every = [linear for layer in layers for linear in layer.values()] + [output]
        self._scratch = max((linear.scratch() for linear in every), key=Tensor.numel)
        to_logits = output.call(self._x, self._logits, BIAS, scratch=self._scratch)
        self._added = torch.zeros(output.n_out, dtype=torch.float32)
        self._added[list(suppressed)] = FORBIDDEN
        self._sections = torch.zeros((shape.slots, 2, 2), dtype=torch.int64)
        n_parts = -(-output.n_out // PART_TOKENS)
        self._scores = torch.zeros((shape.slots, n_parts, 2, 3), dtype=torch.float32)
        self._chosen = torch.zeros((shape.slots, 2), dtype=torch.float32)
        choice = self._calls_of_choice(kernels, n_vocab=output.n_out)
        self._program = Program([*self._calls_of_layers(layers), to_logits, *choice], launch=kernels.run_program)

    def __call__(
        self,
        slots: Sequence[int],
        *,
        tokens: Sequence[int],
        n_cached: Sequence[int],
        sections: Sequence[Sections | None],
    ) -> StepResult:
        """Feed a token to each slot, which its cache gets, too.

        slots: ascending. n_cached: the tokens that each slot's cache holds already. sections: among which each
        slot's next token is chosen; None: it is not.
        """
        n_rows = len(slots)
        self._sections[:n_rows] = torch.tensor([of_row or NO_SECTIONS for of_row in sections])
        self._x[:n_rows] = self._decoder.embed(torch.tensor(tokens), torch.tensor(n_cached))
        self._self_kv.set_step(slots, n_cached)
        self._program(rows=n_rows, windows=self._cross_kv.set_step(slots))
        chosen = [(int(token), logprob) for token, logprob in self._chosen[:n_rows].tolist()]
        return StepResult(logits=self._logits[:n_rows], chosen=chosen)

    def _calls_of_layers(self, layers: Sequence[dict[str, Int8TileLinear]]) -> Iterator[Call]:
        x, heads, queries, attended, hidden = self._x, self._heads, self._queries, self._attended, self._hidden
        self_attention = self._self_kv.step_calls(heads, attended)
        cross_attention = self._cross_kv.step_calls(queries, attended)
        for layer, attend_self, attend_cross in zip(layers, self_attention, cross_attention, strict=True):
            yield layer["self_qkv"].call(x, heads, BIAS, scratch=self._scratch)
            yield attend_self
            yield layer["self_out"].call(attended, x, BIAS_ADD, scratch=self._scratch)
            yield layer["cross_q"].call(x, queries, BIAS, scratch=self._scratch)
            yield attend_cross
            yield layer["cross_out"].call(attended, x, BIAS_ADD, scratch=self._scratch)
            yield layer["fc1"].call(x, hidden, BIAS_GELU, scratch=self._scratch)
            yield layer["fc2"].call(hidden, x, BIAS_ADD, scratch=self._scratch)

    def _calls_of_choice(self, kernels: Kernels, *, n_vocab: int) -> Iterator[Call]:
        tensors = (self._logits, self._added, self._sections, self._scores)
        addresses = [tensor.data_ptr() for tensor in tensors]
        yield Call(kernel=kernels.token_scores, data=(*addresses, 0, n_vocab), variables={4: "rows"})
        addresses = [tensor.data_ptr() for tensor in (self._scores, self._chosen)]
        data = (*addresses, 0, self._scores.shape[1])
        yield Call(kernel=kernels.choose_likeliest, data=data, variables={2: "rows"})


def make_step_program(
    decoder: Decoder,
    output: Linear,
    self_kv: SelfKVCache,
    cross_kv: CrossKVCache,
    *,
    kernels: Kernels | None,
    shape: CacheShape,
    suppressed: Sequence[int],
) -> StepProgram | None:
    """Return the program; None where not all that a step runs are kernels. suppressed: see `StepProgram`."""
    if kernels is None or not isinstance(output, Int8TileLinear):
        return None
    if not isinstance(self_kv, Bfloat16SelfKVCache) or not isinstance(cross_kv, Int8CrossKVCache):
        return None
    if any(len(_tiles(layer)) < len(LINEAR_NAMES) for layer in decoder.layers):
        return None
    return StepProgram(decoder, output, self_kv, cross_kv, kernels=kernels, shape=shape, suppressed=suppressed)


def _tiles(layer: DecoderLayer) -> dict[str, Int8TileLinear]:
    """Return the linear layers that are kernels, by name."""
    linears = {name: getattr(layer, name) for name in LINEAR_NAMES}
    return {name: linear for name, linear in linears.items() if isinstance(linear, Int8TileLinear)}
