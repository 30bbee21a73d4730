"""Whisper's audio encoder over fused layers: a window's mel frames to its features.

Source: Radford et al. 2022, section 2.2; the weights are those of transformers' WhisperEncoder.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperEncoderLayer

from hf_asr_endpoint.whisper.attention import attend_window
from hf_asr_endpoint.whisper.layers import LayerNorm, MakeLinear, stack


class Encoder:
    """Encodes one window at a time. A window may be shorter than 30 s, and then takes less time."""

    def __init__(self, module: WhisperEncoder, make_linear: MakeLinear) -> None:
        self._convolutions = [_convolution(conv) for conv in (module.conv1, module.conv2)]
        self._positions = module.embed_positions.weight.detach()  # (n_positions, d_model)
        layers = cast("list[WhisperEncoderLayer]", list(module.layers))
        self._layers = [_EncoderLayer(layer, make_linear) for layer in layers]
        self._norm = LayerNorm(module.layer_norm)

    def __call__(self, mel: Tensor) -> Tensor:
        """Return features, shape = (n_frames // 2, d_model), of mel, shape = (n_mels, n_frames)."""
        x = mel[None]
        for weight, bias, stride in self._convolutions:
            x = F.gelu(F.conv1d(x, weight, bias, stride=stride, padding=1))
        x = x[0].t() + self._positions[: x.shape[2]]
        for layer in self._layers:
            x = layer(x)
        return self._norm(x)


class _EncoderLayer:
    def __init__(self, module: WhisperEncoderLayer, make_linear: MakeLinear) -> None:
        attention = module.self_attn
        self._n_heads = attention.num_heads
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._qkv = make_linear(*stack(projections, scale_first=attention.scaling))
        self._out = make_linear(attention.out_proj.weight, attention.out_proj.bias)
        self._fc1 = make_linear(module.fc1.weight, module.fc1.bias)
        self._fc2 = make_linear(module.fc2.weight, module.fc2.bias)
        self._attention_norm = LayerNorm(module.self_attn_layer_norm)
        self._feed_forward_norm = LayerNorm(module.final_layer_norm)

    def __call__(self, x: Tensor) -> Tensor:
        n_positions, d_model = x.shape
        heads = self._qkv(self._attention_norm(x)).view(n_positions, 3, self._n_heads, -1)
        queries, keys, values = heads.permute(1, 2, 0, 3)  # each (n_heads, n_positions, head_dim)
        attended = attend_window(queries, keys, values).transpose(0, 1).reshape(n_positions, d_model)
        x = self._out.add(attended, x)
        return self._fc2.add(self._fc1.gelu(self._feed_forward_norm(x)), x)


def _convolution(module: nn.Conv1d) -> tuple[Tensor, Tensor | None, int]:
    bias = None if module.bias is None else module.bias.detach()
    return module.weight.detach(), bias, module.stride[0]
