"""The last layer's weight in oneDNN's order: the same logits, where it gains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hf_asr_endpoint.transformers_models.packing import pack_vocabulary


class Model:
    """What packing needs of a model."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer

    def get_output_embeddings(self) -> nn.Module:
        return self._layer


@pytest.mark.parametrize("bias", [False, True])
@torch.inference_mode()
def test_a_packed_layer_gives_the_same_logits(bias: bool) -> None:
    layer = nn.Linear(64, 1_001, bias=bias)
    inputs = [torch.randn(n_rows, 3, 64) for n_rows in (1, 2, 16)]
    expected = [layer(each) for each in inputs]
    n_bytes = pack_vocabulary(Model(layer))
    assert n_bytes in (0, 64 * 1_001 * 4)  # 0 on other processors than x86
    for each, logits in zip(inputs, expected, strict=True):
        assert torch.allclose(layer(each), logits, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.Linear(8, 9).half(), nn.Identity(), None], ids=["half", "other", "none"])
def test_layers_that_gain_nothing_stay_as_they_are(layer: nn.Module) -> None:
    assert pack_vocabulary(Model(layer)) == 0
