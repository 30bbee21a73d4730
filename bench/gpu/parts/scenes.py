"""Decode steps with all that they read: random weights and windows in a known model's shape, or real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.gpu.shapes import Shape, checkpoint_of, random_tensors
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState
from hf_asr_endpoint.whisper.device.caches import SlotCaches, SlotWindows, new_caches
from hf_asr_endpoint.whisper.device.choice import DeviceRules, device_rules
from hf_asr_endpoint.whisper.device.operations import StepOperations, TorchOperations, TritonOperations
from hf_asr_endpoint.whisper.device.ragged_encoder import WindowBounds, window_ends
from hf_asr_endpoint.whisper.device.row_states import RowStates, new_states, pack_rows, row_numbers
from hf_asr_endpoint.whisper.device.step import DecodeStep, StepOutputs, new_outputs
from hf_asr_endpoint.whisper.device.weights import DecoderWeights, decoder_weights

MAX_TOKENS = 448


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A step with all that it reads and writes."""

    weights: DecoderWeights
    caches: SlotCaches
    states: RowStates
    outputs: StepOutputs
    rules: DeviceRules

    def step(self, operations: StepOperations) -> DecodeStep:
        return DecodeStep(
            self.weights, self.caches, self.states, self.outputs, rules=self.rules, operations=operations
        )


def step_operations(name: str) -> StepOperations:
    """name: "torch" or "triton"."""
    return TritonOperations() if name == "triton" else TorchOperations()


def shape_weights(shape: Shape, *, device: str) -> DecoderWeights:
    """Return random weights, in float16 on a GPU and float32 on the CPU."""
    dtype = torch.float16 if device == "cuda" else torch.float32
    return decoder_weights(random_tensors(shape, device=device, dtype=dtype), shape.config)


def new_scene(
    shape: Shape, weights: DecoderWeights, *, lengths: Sequence[int], device: str, max_tokens: int = 400
) -> Scene:
    """Return rows that have been fed nothing, in empty caches. lengths: of the rows' windows."""
    n_rows = len(lengths)
    states = new_states(n_rows, device=torch.device(device))
    prompt = shape.prompt()
    begun = begin_rows(prompt, lengths, max_tokens=max_tokens, timestamp_begin=shape.no_timestamps + 1)
    states.load_(begun.to(device))
    checkpoint = checkpoint_of(shape, random_tensors(shape, device=device, dtype=weights.output.dtype))
    return Scene(
        weights=weights,
        caches=new_caches(
            weights,
            n_slots=n_rows,
            max_tokens=MAX_TOKENS,
            max_positions=shape.config.max_source_positions,
        ),
        states=states,
        outputs=new_outputs(weights, n_rows=n_rows),
        rules=device_rules(checkpoint, n_rows=len(weights.output), device=torch.device(device)),
    )


def begin_rows(
    prompt: DecoderPrompt, lengths: Sequence[int], *, max_tokens: int, timestamp_begin: int, min_tokens: int = 0
) -> Tensor:
    """Return the packed numbers of new rows, in slots from 0 on."""
    rules = AttemptRules(max_new_tokens=max_tokens, min_new_tokens=min_tokens)
    state = DecodingState(prompt=prompt, rules=rules)
    rows = [
        row_numbers(state, slot=slot, window=slot, length=length, timestamp_begin=timestamp_begin, is_fed=False)
        for slot, length in enumerate(lengths)
    ]
    return pack_rows(rows, dict.fromkeys(range(len(rows)), prompt.tokens))


def random_scene(
    shape: Shape, weights: DecoderWeights, *, n_rows: int, device: str, lengths: Sequence[int]
) -> Scene:
    """Return rows with windows of random keys and values. lengths: of the windows, in turn."""
    repeated = [lengths[row % len(lengths)] for row in range(n_rows)]
    scene = new_scene(shape, weights, lengths=repeated, device=device)
    for layer in scene.caches.windows:
        layer.normal_()
    return scene


def write_windows(scene: Scene, features: Tensor, lengths: Sequence[int]) -> None:
    """Cache windows' keys and values, in slots from 0 on. features: shape = (sum of lengths, d_model)."""
    bounds = WindowBounds(lengths=tuple(lengths), ends=window_ends(lengths).to(features.device))
    groups = [[slot] for slot in range(len(lengths))]
    windows = SlotWindows(scene.caches.windows, lambda tensor: tensor.to(features.device), copies=True)
    windows.assign(groups, lengths)
    windows.write(scene.weights, features, bounds, groups)


def decode_rows(step: DecodeStep, states: RowStates, *, n_steps: int) -> tuple[list[list[int]], list[list[float]]]:
    """Run steps; return each row's tokens, eot included, and their log-probabilities. Reads after each step."""
    n_rows = len(states.results)
    tokens: list[list[int]] = [[] for _ in range(n_rows)]
    logprobs: list[list[float]] = [[] for _ in range(n_rows)]
    for _ in range(n_steps):
        step()
        for row, (token, logprob, _) in enumerate(states.results.tolist()):
            if token >= 0:
                tokens[row].append(int(token))
                logprobs[row].append(logprob)
        if bool(states.is_stopped.all()):
            break
    return tokens, logprobs


def step_bytes(weights: DecoderWeights, lengths: Sequence[int]) -> float:
    """Return the bytes that a step must read: weights once, and the keys and values of each row's window."""
    width = weights.embeddings.element_size()
    d_model = weights.embeddings.shape[1]
    read = [
        linear[0]
        for layer in weights.layers
        for linear in (layer.self_qkv, layer.self_out, layer.cross_query, layer.cross_out, layer.hidden)
    ]
    read += [layer.hidden_out[0] for layer in weights.layers]
    n_weights = sum(weight.numel() for weight in read) + weights.output.numel()
    return width * (n_weights + 2.0 * d_model * len(weights.layers) * sum(lengths))
