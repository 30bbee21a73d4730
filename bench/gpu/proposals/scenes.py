"""Decode steps with all that they read: random weights and windows in a known model's shape, or real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.gpu.proposals.choice import RowStates, begin_states, token_flags
from bench.gpu.proposals.operations import step_operations
from bench.gpu.proposals.step import DecodeStep, SlotCaches, TokenIds, allocate_caches
from bench.gpu.proposals.weights import VOCABULARY_STEP, DecoderWeights, decoder_weights
from bench.gpu.shapes import Shape, random_tensors

MAX_TOKENS = 448
MAX_INITIAL_INDEX = 50  # of a timestamp, in Whisper's generation configs


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a step must know of a checkpoint's tokens. flags: see `choice.token_flags`."""

    flags: Tensor
    ids: TokenIds


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A step with all that it reads and writes."""

    weights: DecoderWeights
    caches: SlotCaches
    state: RowStates
    rules: TokenRules

    def step(self, operations: str) -> DecodeStep:
        """operations: see `step_operations`."""
        return DecodeStep(
            self.weights,
            self.caches,
            self.state,
            flags=self.rules.flags,
            ids=self.rules.ids,
            operations=step_operations(operations),
        )


def shape_rules(shape: Shape, *, device: str) -> TokenRules:
    """Return the rules that `bench.gpu.shapes.random_model` gives its models."""
    n_vocab, begin = shape.config.vocab_size, shape.no_timestamps + 1
    suppressed, n_rows = [*range(1, 90), shape.no_timestamps], -(-n_vocab // VOCABULARY_STEP) * VOCABULARY_STEP
    return TokenRules(
        flags=token_flags(n_vocab, suppressed, [220, shape.eot], device=device, n_rows=n_rows),
        ids=TokenIds(timestamp_begin=begin, initial_end=begin + MAX_INITIAL_INDEX + 1, eot=shape.eot),
    )


def shape_weights(shape: Shape, *, device: str) -> DecoderWeights:
    """Return random weights, in float16 on a GPU and float32 on the CPU."""
    dtype = torch.float16 if device == "cuda" else torch.float32
    return decoder_weights(random_tensors(shape, device=device, dtype=dtype), shape.config)


def random_scene(
    shape: Shape,
    weights: DecoderWeights,
    *,
    n_rows: int,
    device: str,
    lengths: Sequence[int],
    max_tokens: int = 400,
) -> Scene:
    """Return rows with windows of random keys and values. lengths: of the windows, in turn."""
    caches = allocate_caches(
        weights, n_slots=n_rows, max_tokens=MAX_TOKENS, max_positions=shape.config.max_source_positions
    )
    for layer in caches.windows:
        layer.normal_()
    state = begin_states(n_rows, list(shape.prompt().tokens), device=device, max_tokens=max_tokens)
    repeated = [lengths[row % len(lengths)] for row in range(n_rows)]
    state.lengths.copy_(torch.tensor(repeated, dtype=torch.int32))
    return Scene(weights=weights, caches=caches, state=state, rules=shape_rules(shape, device=device))


def write_window(caches: SlotCaches, weights: DecoderWeights, slot: int, features: Tensor) -> None:
    """Cache a window's keys and values. features: shape = (n_positions, d_model)."""
    n_positions = len(features)
    for index, layer in enumerate(weights.layers):
        heads = F.linear(features, *layer.cross_kv).view(n_positions, 2, weights.n_heads, -1)
        caches.windows[index, :, slot, :, :n_positions] = heads.permute(1, 2, 0, 3)


def decode_rows(step: DecodeStep, state: RowStates, *, n_steps: int) -> tuple[list[list[int]], list[list[float]]]:
    """Run steps; return each row's tokens, eot included, and their log-probabilities. Reads after each step."""
    n_rows = len(state.tokens)
    tokens: list[list[int]] = [[] for _ in range(n_rows)]
    logprobs: list[list[float]] = [[] for _ in range(n_rows)]
    for _ in range(n_steps):
        step()
        for row, (token, logprob) in enumerate(state.results.tolist()):
            if token >= 0:
                tokens[row].append(int(token))
                logprobs[row].append(logprob)
        if bool(state.is_finished.all()):
            break
    return tokens, logprobs
