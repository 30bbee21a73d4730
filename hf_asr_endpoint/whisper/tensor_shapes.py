"""The tensors that a Whisper of given dimensions consists of, by transformers' names.

Names and shapes are those of transformers' WhisperForConditionalGeneration; keys have no bias.
"""

from __future__ import annotations

from hf_asr_endpoint.whisper.model_config import ModelConfig

EMBEDDINGS = "model.decoder.embed_tokens.weight"
OUTPUT = "proj_out.weight"
ENCODER_POSITIONS = "model.encoder.embed_positions.weight"

KERNEL_SIZE = 3  # of both convolutions

Shape = tuple[int, ...]


def expected_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Return the shape of every tensor, by name."""
    width = config.d_model
    shapes = {
        "model.encoder.conv1.weight": (width, config.num_mel_bins, KERNEL_SIZE),
        "model.encoder.conv1.bias": (width,),
        "model.encoder.conv2.weight": (width, width, KERNEL_SIZE),
        "model.encoder.conv2.bias": (width,),
        ENCODER_POSITIONS: (config.max_source_positions, width),
        EMBEDDINGS: (config.vocab_size, width),
        "model.decoder.embed_positions.weight": (config.max_target_positions, width),
        OUTPUT: (config.vocab_size, width),
    }
    for name in ("encoder", "decoder"):
        shapes |= _norm(f"model.{name}.layer_norm", width)
        attentions = ("self_attn",) if name == "encoder" else ("self_attn", "encoder_attn")
        for index in range(getattr(config, f"{name}_layers")):
            layer = f"model.{name}.layers.{index}"
            shapes |= _layer(layer, width, n_hidden=getattr(config, f"{name}_ffn_dim"), attentions=attentions)
    return shapes


def _layer(name: str, width: int, *, n_hidden: int, attentions: tuple[str, ...]) -> dict[str, Shape]:
    shapes = {
        **_linear(f"{name}.fc1", width, n_hidden),
        **_linear(f"{name}.fc2", n_hidden, width),
        **_norm(f"{name}.final_layer_norm", width),
    }
    for attention in attentions:
        shapes |= _norm(f"{name}.{attention}_layer_norm", width)
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{name}.{attention}.{projection}", width, width)
        del shapes[f"{name}.{attention}.k_proj.bias"]
    return shapes


def _linear(name: str, n_in: int, n_out: int) -> dict[str, Shape]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
