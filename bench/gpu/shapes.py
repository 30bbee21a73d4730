"""Models with random weights in the shapes of known ones: equally fast, but their texts are nonsense."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import cast

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.checkpoint.config import GenerationConfig, ModelConfig
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.checkpoint.tensor_files import StoredTensor
from hf_asr_endpoint.whisper.checkpoint.tensors import EMBEDDINGS, OUTPUT, Tensors, expected_shapes
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt
from hf_asr_endpoint.whisper.device.cuda import CudaAccelerator
from hf_asr_endpoint.whisper.device.device_speech_model import DeviceSpeechModel
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel

DEVIATION = 0.02  # of weights
EMBEDDING_DEVIATION = 0.3  # makes logits differ by about 10, and a text token far likelier than all timestamps


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model's dimensions and the ids of its special tokens. n_languages: 0 for an English-only model."""

    name: str
    config: ModelConfig
    eot: int
    no_timestamps: int
    n_languages: int

    @property
    def tokenizer(self) -> WhisperTokenizer:
        """The part of a tokenizer that the model uses: special tokens, no text."""
        first = self.eot + 2
        languages = {f"{index}": first + index for index in range(self.n_languages)}
        return cast(
            WhisperTokenizer,
            SimpleNamespace(
                eot=self.eot,
                sot=self.eot + 1,
                sot_prev=self.no_timestamps - 2,
                no_timestamps=self.no_timestamps,
                timestamp_begin=self.no_timestamps + 1,
                language_tokens=languages,
                task_tokens={"translate": first + self.n_languages, "transcribe": first + self.n_languages + 1},
            ),
        )

    def prompt(self, *, n_previous: int = 0) -> DecoderPrompt:
        """Return a prompt as requests have it. n_previous: tokens of the previous text."""
        tokenizer = self.tokenizer
        before = (tokenizer.sot_prev, *range(1_000, 1_000 + n_previous)) if n_previous else ()
        if not self.n_languages:
            return DecoderPrompt(tokens=(*before, tokenizer.sot), sot_index=len(before))
        language, task = tokenizer.language_tokens["0"], tokenizer.task_tokens["transcribe"]
        return DecoderPrompt(tokens=(*before, tokenizer.sot, language, task), sot_index=len(before))


TINY = Shape(
    name="tiny.en",
    config=ModelConfig(vocab_size=51_864),
    eot=50_256,
    no_timestamps=50_362,
    n_languages=0,
)

BASE = Shape(
    name="base",
    config=ModelConfig(
        vocab_size=51_865,
        d_model=512,
        encoder_layers=6,
        encoder_attention_heads=8,
        encoder_ffn_dim=2_048,
        decoder_layers=6,
        decoder_attention_heads=8,
        decoder_ffn_dim=2_048,
        eos_token_id=50_257,
    ),
    eot=50_257,
    no_timestamps=50_363,
    n_languages=99,
)

TURBO = Shape(
    name="large-v3-turbo",
    config=ModelConfig(
        vocab_size=51_866,
        d_model=1_280,
        num_mel_bins=128,
        encoder_layers=32,
        encoder_attention_heads=20,
        encoder_ffn_dim=5_120,
        decoder_layers=4,
        decoder_attention_heads=20,
        decoder_ffn_dim=5_120,
        eos_token_id=50_257,
    ),
    eot=50_257,
    no_timestamps=50_364,
    n_languages=100,
)

LARGE = replace(TURBO, name="large-v3", config=replace(TURBO.config, decoder_layers=32))

SMALL = Shape(
    name="small shape",
    config=ModelConfig(vocab_size=51_866, d_model=128, encoder_attention_heads=2, decoder_attention_heads=2),
    eot=50_257,
    no_timestamps=50_364,
    n_languages=100,
)
"""Tries the script where nothing is measured."""


def random_tensors(shape: Shape, *, device: str, dtype: torch.dtype) -> Tensors:
    """Return random weights, generated on the device. Each depends only on its name.

    The embeddings of special tokens are 0. So no text ends by itself, and its first timestamp is its only one.
    """
    generator = torch.Generator(device)

    def make(name: str, size: tuple[int, ...]) -> Tensor:
        if "layer_norm.weight" in name:
            return torch.ones(size, device=device, dtype=dtype)
        deviation = EMBEDDING_DEVIATION if name == EMBEDDINGS else DEVIATION
        generator.manual_seed(zlib.crc32(name.encode()))
        tensor = torch.randn(size, generator=generator, device=device, dtype=dtype).mul_(deviation)
        if name == EMBEDDINGS:
            tensor[shape.eot :] = 0
        return tensor

    stored = {
        name: StoredTensor(shape=size, is_floating=True, is_shared=False, read=partial(make, name, size))
        for name, size in expected_shapes(shape.config).items()
        if name != OUTPUT
    }
    return Tensors(stored, device=torch.device(device), dtype=dtype)


def random_model(
    shape: Shape, *, device: str, slots: int, looks_ahead: bool = True
) -> WhisperSpeechModel | DeviceSpeechModel:
    """Return a model with random weights, as the engine runs it: in float16 on a GPU, float32 on the CPU."""
    dtype = torch.float16 if device == "cuda" else torch.float32
    checkpoint = checkpoint_of(shape, random_tensors(shape, device=device, dtype=dtype))
    if device == "cuda":
        accelerator = CudaAccelerator(torch.device(device))
        return DeviceSpeechModel(checkpoint, slots=slots, accelerator=accelerator, looks_ahead=looks_ahead)
    return WhisperSpeechModel(checkpoint, slots=slots, arithmetic="float")


def checkpoint_of(shape: Shape, tensors: Tensors) -> WhisperCheckpoint:
    """Return a checkpoint with the rules that all models with random weights have."""
    return WhisperCheckpoint(
        config=shape.config,
        generation_config=GenerationConfig(
            suppress_tokens=tuple(range(1, 90)),
            begin_suppress_tokens=(220, shape.eot),
            max_initial_timestamp_index=50,
        ),
        tensors=tensors,
        tokenizer=shape.tokenizer,
        is_multilingual=shape.n_languages > 0,
    )


def random_mel(shape: Shape, *, n_positions: int = 1_500, seed: int = 0) -> Tensor:
    """Return random mel frames on the CPU, shape = (n_mels, 2 × n_positions), in a spectrogram's range."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((shape.config.num_mel_bins, 2 * n_positions), generator=generator) * 2 - 1


def weight_bytes(shape: Shape, *, n_bytes: int = 2) -> dict[str, float]:
    """Return the bytes that one step must read: weights (decoder and vocabulary), and K/V of each row's window."""
    config = shape.config
    layer = 6 * config.d_model**2 + 2 * config.d_model * config.decoder_ffn_dim
    return {
        "weights": n_bytes * (config.decoder_layers * layer + config.vocab_size * config.d_model),
        "window": n_bytes * config.decoder_layers * 2 * config.max_source_positions * config.d_model,
    }


def encoder_flops(shape: Shape, n_positions: int) -> float:
    """Return the floating-point operations that the encoder needs for a window."""
    config = shape.config
    d, t = config.d_model, n_positions
    linear = 2 * t * (4 * d * d + 2 * d * config.encoder_ffn_dim)
    convolutions = 2 * 3 * (2 * t * config.num_mel_bins * d + t * d * d)
    return config.encoder_layers * (linear + 4 * t * t * d) + convolutions
