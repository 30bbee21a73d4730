"""The whole greedy decode step over static slot caches. The host never waits in it, so it can be a CUDA graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.whisper.device.caches import SlotCaches
from hf_asr_endpoint.whisper.device.choice import DeviceRules
from hf_asr_endpoint.whisper.device.operations import StepOperations
from hf_asr_endpoint.whisper.device.row_states import RowStates
from hf_asr_endpoint.whisper.device.weights import DecoderWeights, LayerWeights, Norm


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutputs:
    """What the host reads of rows whose tokens it chooses.

    logits: shape = (n_rows, n_logits). features: shape = (n_rows, d_model). In the weights' dtype.
    """

    logits: Tensor
    features: Tensor

    def first(self, n_rows: int) -> StepOutputs:
        """Return views of the first rows."""
        return StepOutputs(logits=self.logits[:n_rows], features=self.features[:n_rows])


def new_outputs(weights: DecoderWeights, *, n_rows: int) -> StepOutputs:
    n_logits, d_model = weights.output.shape
    return StepOutputs(
        logits=weights.output.new_zeros((n_rows, n_logits)), features=weights.output.new_zeros((n_rows, d_model))
    )


class DecodeStep:
    """Feeds each row's token, chooses the next one, and updates the state in place."""

    def __init__(
        self,
        weights: DecoderWeights,
        caches: SlotCaches,
        states: RowStates,
        outputs: StepOutputs,
        *,
        rules: DeviceRules,
        operations: StepOperations,
    ) -> None:
        self._weights, self._caches, self._states, self._outputs = weights, caches, states, outputs
        self._rules, self._operations = rules, operations

    def first(self, n_rows: int) -> DecodeStep:
        """Return the step of the first rows alone."""
        return DecodeStep(
            self._weights,
            self._caches,
            self._states.first(n_rows),
            self._outputs.first(n_rows),
            rules=self._rules,
            operations=self._operations,
        )

    def __call__(self) -> None:
        features, logits = self._outputs.features, self._outputs.logits
        features.copy_(self.features())
        torch.mm(features, self._weights.output.t(), out=logits)
        self._operations.choose(logits, self._rules, self._states)

    def features(self) -> Tensor:
        """Feed the tokens; return the features of what follows them, shape = (n_rows, d_model)."""
        weights = self._weights
        x, normed = self._operations.embed(self._states, weights, weights.layers[0].self_norm)
        if len(x) <= self._operations.max_fused_rows:
            for index, layer in enumerate(weights.layers):
                x = self._fused_layer(index, layer, x)
            return F.layer_norm(x, x.shape[1:], *weights.final_norm)
        following = [*(layer.self_norm for layer in weights.layers[1:]), weights.final_norm]
        for index, (layer, next_norm) in enumerate(zip(weights.layers, following, strict=True)):
            x, normed = self._layer(index, layer, x, normed, next_norm)
        return normed

    def _layer(
        self, index: int, layer: LayerWeights, x: Tensor, normed: Tensor, next_norm: Norm
    ) -> tuple[Tensor, Tensor]:
        """Run a layer with torch's products. Takes x and its first norm; returns the same for the next layer."""
        run = self._operations
        attended = self._attend_self(index, F.linear(normed, *layer.self_qkv))
        x, normed = run.add_norm(x, F.linear(attended, layer.self_out[0]), layer.self_out[1], layer.cross_norm)
        attended = self._attend_window(index, F.linear(normed, *layer.cross_query))
        x, normed = run.add_norm(x, F.linear(attended, layer.cross_out[0]), layer.cross_out[1], layer.hidden_norm)
        hidden = F.gelu(F.linear(normed, *layer.hidden))
        return run.add_norm(x, F.linear(hidden, layer.hidden_out[0]), layer.hidden_out[1], next_norm)

    def _fused_layer(self, index: int, layer: LayerWeights, x: Tensor) -> Tensor:
        """Run a layer of few rows: each product includes the norm before it, and GELU or the residual after it."""
        run = self._operations.linear_rows
        attended = self._attend_self(index, run(x, layer.self_qkv, norm=layer.self_norm))
        x = run(attended, layer.self_out, residual=x)
        attended = self._attend_window(index, run(x, layer.cross_query, norm=layer.cross_norm))
        x = run(attended, layer.cross_out, residual=x)
        hidden = run(x, layer.hidden, norm=layer.hidden_norm, has_gelu=True)
        return run(hidden, layer.hidden_out, residual=x)

    def _attend_self(self, index: int, qkv: Tensor) -> Tensor:
        keys, values = self._caches.own[index]
        heads = qkv.view(len(qkv), 3, keys.shape[1], -1)
        return self._operations.attend_self(heads, keys, values, self._states)

    def _attend_window(self, index: int, queries: Tensor) -> Tensor:
        keys, values = self._caches.windows[index]
        return self._operations.attend_window(queries, keys, values, self._states)
