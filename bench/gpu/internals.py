"""The model's private parts, which phases run one by one. Only this module uses private names of the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.gpu.proposals.audio_batch import SpeechNetwork
from bench.gpu.shapes import Shape, random_tensors
from hf_asr_endpoint.audio import mel, vad
from hf_asr_endpoint.units import N_POSITIONS
from hf_asr_endpoint.whisper.checkpoint import loader
from hf_asr_endpoint.whisper.checkpoint.loader import Device
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.model.decoder import DecoderBatch
from hf_asr_endpoint.whisper.model.encoder import Encoder
from hf_asr_endpoint.whisper.model.layers import linear_factory
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel


def random_encoder(shape: Shape, *, device: str, dtype: torch.dtype) -> Encoder:
    """Return an encoder with random weights."""
    make_linear = linear_factory(arithmetic="float", n_rows=N_POSITIONS)
    config = shape.config
    return Encoder(
        random_tensors(shape, device=device, dtype=dtype).under("model.encoder"),
        make_linear,
        make_linear,
        n_layers=config.encoder_layers,
        head_dim=config.d_model // config.encoder_attention_heads,
    )


@torch.inference_mode()
def encode(model: WhisperSpeechModel, frames: Tensor) -> Tensor:
    """Return a window's features, shape = (n_positions, d_model). frames: of its spectrogram."""
    (features,) = model._encoder([frames.to(model._device, model._dtype)])
    return features


@torch.inference_mode()
def forced_logits(model: WhisperSpeechModel, frames: Tensor, tokens: Sequence[int]) -> Tensor:
    """Feed tokens in one pass; return the logits after each, float32 on the CPU, shape = (n_tokens, n_vocab)."""
    model.encode({0: frames})
    batch = model._batches.build(slots=[0], tokens=[tokens], n_cached=[0])
    logits = model._logits(model._decoder(batch)[0])
    model.free(0)
    return logits.float().cpu()


def mel_filters(n_mels: int) -> Tensor:
    """Return the mel filters, shape = (n_mels, N_FFT // 2 + 1)."""
    return mel._mel_filters(n_mels)


def speech_network() -> SpeechNetwork:
    """Return silero-vad's network, on the CPU. Needs the package."""
    found = vad._load_network()
    return SpeechNetwork(
        convolutions=[(each.weight, each.bias) for each in found.convolutions],
        lstm=found.lstm,
        output=(found.output_weight, found.output_bias),
    )


def auto_precision(device: Device) -> str:
    """Return the device and the dtype that "auto" stands for."""
    chosen = loader.choose_device(device)
    return f"{chosen}, {loader._choose_dtype('auto', chosen)}"


def step_parts(
    model: WhisperSpeechModel, states: dict[int, DecodingState]
) -> tuple[Callable[[], DecoderBatch], Callable[[], Tensor], Callable[[], Tensor]]:
    """Return a step's parts before the choice of tokens: building the batch, layers, vocabulary.

    Each call of a part does the same work again: the states do not change.
    """
    slots = sorted(states)
    tokens = [[states[slot].sampled[-1]] for slot in slots]
    n_cached = [len(states[slot].prompt.tokens) + len(states[slot].sampled) - 1 for slot in slots]

    def build_batch() -> DecoderBatch:
        return model._batches.build(slots=slots, tokens=tokens, n_cached=n_cached)

    batch = build_batch()

    def run_layers() -> Tensor:
        return model._decoder(batch)[:, 0]

    features = run_layers()
    return build_batch, run_layers, lambda: model._logits(features)


def token_choice(
    model: WhisperSpeechModel, states: dict[int, DecodingState], *, n_vocab: int
) -> Callable[[], None]:
    """Return a function that chooses tokens from random logits, then restores the states."""
    slots = sorted(states)
    logits = torch.randn((len(slots), n_vocab), device=model._device) * 10
    logits[:, model._rules.eot :] = 0  # A text token is the likeliest.

    def choose() -> None:
        model._choose_next_tokens(logits.clone(), slots, states)
        for state in states.values():
            del state.sampled[-1], state.logprobs[-1]

    return choose
