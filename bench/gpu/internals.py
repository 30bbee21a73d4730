"""The model's private parts, which phases run one by one. Only this module uses private names of the engine."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.gpu.parts.audio_batch import SpeechNetwork
from bench.gpu.shapes import Shape, random_tensors
from hf_asr_endpoint.audio import vad
from hf_asr_endpoint.units import N_POSITIONS
from hf_asr_endpoint.whisper.checkpoint import loader
from hf_asr_endpoint.whisper.checkpoint.loader import Device
from hf_asr_endpoint.whisper.device.device_speech_model import DeviceSpeechModel
from hf_asr_endpoint.whisper.device.ragged_encoder import WindowBounds, n_positions, window_ends
from hf_asr_endpoint.whisper.model.encoder import Encoder
from hf_asr_endpoint.whisper.model.layers import linear_factory
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel

AnyModel = WhisperSpeechModel | DeviceSpeechModel


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
def encode(model: AnyModel, frames: Tensor) -> Tensor:
    """Return a window's features, shape = (n_positions, d_model). frames: of its spectrogram."""
    if isinstance(model, WhisperSpeechModel):
        (features,) = model._encoder([frames.to(model._device, model._dtype)])
        return features
    mel = frames.to(model._accelerator.device, model._encoder._encoder.dtype)
    lengths = (n_positions(mel),)
    return model._encoder._encoder([mel], WindowBounds(lengths=lengths, ends=window_ends(lengths).to(mel.device)))


@torch.inference_mode()
def forced_logits(model: AnyModel, frames: Tensor, tokens: Sequence[int]) -> Tensor:
    """Feed tokens in one pass; return the logits after each, float32 on the CPU, shape = (n_tokens, n_vocab)."""
    model.encode({0: frames})
    if isinstance(model, DeviceSpeechModel):
        model._accelerator.synchronize()  # The pass does not run in the lane of windows.
    batch = model._host.batches.build(slots=[0], tokens=[tokens], n_cached=[0])
    logits = model._logits(model._host.prompts._decoder(batch)[0])
    model.free(0)
    return logits.float().cpu()


def speech_network() -> SpeechNetwork:
    """Return silero-vad's network, on the CPU. Needs the package."""
    found = vad._load_network()
    # There a matrix, shape = (3 × n_in, n_out).
    weights = [each.weight.unflatten(0, (3, -1)).permute(2, 1, 0) for each in found.convolutions]
    return SpeechNetwork(
        convolutions=[(weight, each.bias) for weight, each in zip(weights, found.convolutions, strict=True)],
        lstm=found.lstm,
        output=(found.output_weight, found.output_bias),
    )


def auto_precision(device: Device) -> str:
    """Return the device and the dtype that "auto" stands for."""
    chosen = loader.choose_device(device)
    return f"{chosen}, {loader._choose_dtype('auto', chosen)}"
