"""Rows of a batch that have ended cost nothing more, and the others go on as they would alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from transformers.models.whisper.modeling_whisper import WhisperDecoderLayer

from hf_asr_endpoint.transformers_models.loading import load_transformers_model
from hf_asr_endpoint.transformers_models.whisper import TransformersWhisper
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, begin_rows
from tests.transformers_models.small_models import write_multilingual_whisper

LENGTHS = {0: 800, 1: 400, 2: 1_200, 3: 600}  # frames of the windows, by slot
N_TOKENS = {0: 3, 1: 20, 2: 9, 3: 14}  # after which nobody waits for them


@contextmanager
def counted_rows() -> Iterator[list[int]]:
    """Give the rows of each call of a layer."""
    sizes: list[int] = []

    def count(module: Any, arguments: Any) -> None:
        if isinstance(module, WhisperDecoderLayer):
            sizes.append(len(arguments[0]))

    hook = register_module_forward_pre_hook(count)
    try:
        yield sizes
    finally:
        hook.remove()


def leaving_after(n_tokens: int) -> Callable[[], bool]:
    n_asked = 0

    def has_left() -> bool:
        nonlocal n_asked
        n_asked += 1
        return n_asked >= n_tokens

    return has_left


@pytest.fixture(scope="module")
def whisper(
    base_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TransformersWhisper, DecoderPrompt]:
    directory = write_multilingual_whisper(tmp_path_factory.mktemp("whisper") / "small", base_directory)
    loaded = load_transformers_model(directory, device="cpu", dtype="auto")
    assert loaded.whisper is not None
    assert loaded.tokenizer is not None
    noise = torch.Generator().manual_seed(1)
    loaded.whisper.encode({slot: torch.randn(80, n, generator=noise) for slot, n in LENGTHS.items()})
    tokenizer = loaded.tokenizer
    prompt = (tokenizer.sot, tokenizer.language_tokens["en"], tokenizer.task_tokens["transcribe"])
    return loaded.whisper, DecoderPrompt(tokens=prompt)


def decode(whisper: tuple[TransformersWhisper, DecoderPrompt], slots: list[int]) -> dict[int, Any]:
    model, prompt = whisper
    rules = AttemptRules(max_new_tokens=20, min_new_tokens=20)
    states = {slot: begin_rows(prompt, rules)[0] for slot in slots}
    for slot, state in states.items():
        state.has_left = leaving_after(N_TOKENS[slot])
    model.prefill(states)
    return states


def test_rows_that_have_ended_are_left_out_and_change_no_other(
    whisper: tuple[TransformersWhisper, DecoderPrompt],
) -> None:
    alone = {slot: decode(whisper, [slot])[slot] for slot in LENGTHS}
    with counted_rows() as sizes:
        together = decode(whisper, list(LENGTHS))
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) == {4, 3, 2, 1}
    for slot, state in together.items():
        assert len(state.sampled) == N_TOKENS[slot]
        assert state.sampled == alone[slot].sampled
        n = N_TOKENS[slot]
        assert state.logprobs[:n] == pytest.approx(alone[slot].logprobs[:n], abs=1e-4)
