"""The dimensions of the Whisper models (openai/whisper, model-card.md; config.json of openai/* on the Hub)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hf_asr_endpoint.whisper.checkpoint.config import ModelConfig
from hf_asr_endpoint.whisper.checkpoint.tensors import OUTPUT, expected_shapes

HEAD_DIM = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A model's dimensions under its name."""

    name: str
    config: ModelConfig

    @property
    def n_weights(self) -> int:
        """Weights and biases; the tied output layer does not count twice."""
        shapes = expected_shapes(self.config)
        del shapes[OUTPUT]
        total = 0
        for shape in shapes.values():
            n_elements = 1
            for length in shape:
                n_elements *= length
            total += n_elements
        return total


def _config(*, width: int, n_layers: int) -> ModelConfig:
    return ModelConfig(
        d_model=width,
        encoder_layers=n_layers,
        decoder_layers=n_layers,
        encoder_attention_heads=width // HEAD_DIM,
        decoder_attention_heads=width // HEAD_DIM,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        eos_token_id=50_257,
    )


_LARGE_V3 = replace(_config(width=1_280, n_layers=32), vocab_size=51_866, num_mel_bins=128)

SIZES = {
    size.name: size
    for size in (
        Size(name="tiny", config=_config(width=384, n_layers=4)),
        Size(name="base", config=_config(width=512, n_layers=6)),
        Size(name="small", config=_config(width=768, n_layers=12)),
        Size(name="medium", config=_config(width=1_024, n_layers=24)),
        Size(name="large-v3", config=_LARGE_V3),
        Size(name="turbo", config=replace(_LARGE_V3, decoder_layers=4)),
    )
}
"""By name. "turbo" is large-v3-turbo: large-v3 with 4 of the decoder's 32 layers."""
