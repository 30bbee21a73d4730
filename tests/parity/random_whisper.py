"""A small Whisper with random weights. Its logits are so flat that different searches give different texts.

Imports nothing from the project, so that other versions of transformers can build the same model.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

N_MELS, N_FRAMES = 8, 3_000
SEED = 5
STANDARD_DEVIATION = 0.4  # of all weights

# In Whisper's order: text, eot, special tokens, timestamps.
SPECIAL_TOKENS = {
    "<|endoftext|>": 24,
    "<|startoftranscript|>": 25,
    "<|translate|>": 26,
    "<|transcribe|>": 27,
    "<|startofprev|>": 28,
    "<|nospeech|>": 29,
    "<|notimestamps|>": 30,
}
EOT, SOT = SPECIAL_TOKENS["<|endoftext|>"], SPECIAL_TOKENS["<|startoftranscript|>"]
N_TIMESTAMPS = 60
N_VOCAB = len(SPECIAL_TOKENS) + EOT + N_TIMESTAMPS


def random_whisper() -> WhisperForConditionalGeneration:
    """Return the model, float32, equal in every version of transformers."""
    config = WhisperConfig(
        vocab_size=N_VOCAB,
        d_model=32,
        num_mel_bins=N_MELS,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=48,
        pad_token_id=EOT,
        bos_token_id=EOT,
        eos_token_id=EOT,
        decoder_start_token_id=SOT,
    )
    model = WhisperForConditionalGeneration(config).eval()
    generator = torch.Generator().manual_seed(SEED)
    for name, parameter in sorted(model.named_parameters()):
        is_scale = "layer_norm" in name and name.endswith("weight")
        values = torch.randn(parameter.shape, generator=generator) * STANDARD_DEVIATION
        parameter.data = values + 1 if is_scale else values
    model.generation_config = GenerationConfig(
        bos_token_id=EOT,
        eos_token_id=EOT,
        pad_token_id=EOT,
        decoder_start_token_id=SOT,
        prev_sot_token_id=SPECIAL_TOKENS["<|startofprev|>"],
        no_timestamps_token_id=SPECIAL_TOKENS["<|notimestamps|>"],
        max_initial_timestamp_index=20,
        max_length=448,
        suppress_tokens=[
            1,
            2,
            SOT,
            *(SPECIAL_TOKENS[name] for name in SPECIAL_TOKENS if SPECIAL_TOKENS[name] > SOT),
        ],
        begin_suppress_tokens=[3, EOT],
        is_multilingual=False,
    )
    return model


def random_window(seed: int) -> Tensor:
    """Return mel frames, shape = (N_MELS, N_FRAMES)."""
    return torch.randn(N_MELS, N_FRAMES, generator=torch.Generator().manual_seed(seed))
