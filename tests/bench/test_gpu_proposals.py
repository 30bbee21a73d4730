"""The proposals for the GPU path compute what the engine computes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.gpu import internals
from bench.gpu.batch import decode
from bench.gpu.proposals.audio_batch import log_mel
from bench.gpu.proposals.choice import begin_states, filter_logits, token_flags
from bench.gpu.proposals.ragged_encoder import RaggedEncoder, window_bounds
from bench.gpu.proposals.scenes import Scene, decode_rows, shape_rules, shape_weights, write_window
from bench.gpu.proposals.step import allocate_caches, step_bytes
from bench.gpu.proposals.weights import encoder_weights
from bench.gpu.shapes import SMALL, random_mel, random_model, random_tensors, weight_bytes
from hf_asr_endpoint.audio.mel import LogMelSpectrogram
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.units import N_FFT
from hf_asr_endpoint.whisper.checkpoint.config import GenerationConfig
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.decoding.logit_filters import TokenRules
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState

N_VOCAB, EOT, BEGIN = 60, 40, 45
SUPPRESSED, AT_BEGIN = [2, 44], [7, EOT]
MAX_INITIAL = 5


@pytest.fixture(scope="module")
def engine_rules() -> TokenRules:
    tokenizer = SimpleNamespace(
        eot=EOT, sot=41, no_timestamps=BEGIN - 1, timestamp_begin=BEGIN, language_tokens={"en": 42}
    )
    config = GenerationConfig(
        suppress_tokens=(2,), begin_suppress_tokens=tuple(AT_BEGIN), max_initial_timestamp_index=MAX_INITIAL
    )
    checkpoint = SimpleNamespace(
        tokenizer=tokenizer,
        generation_config=config,
        config=SimpleNamespace(vocab_size=N_VOCAB),
        tensors=SimpleNamespace(device=torch.device("cpu")),
    )
    return TokenRules(cast(WhisperCheckpoint, checkpoint))


TOKENS = st.lists(st.one_of(st.integers(8, EOT - 1), st.integers(BEGIN, N_VOCAB - 1)), max_size=6)


@settings(deadline=None)
@given(histories=st.lists(TOKENS, min_size=1, max_size=4), min_tokens=st.integers(0, 7), seed=st.integers(0, 99))
def test_rules_on_the_device_are_the_engines(
    engine_rules: TokenRules, histories: list[list[int]], min_tokens: int, seed: int
) -> None:
    n_rows = len(histories)
    state = begin_states(n_rows, [41], device="cpu", max_tokens=99, min_tokens=min_tokens)
    for row, history in enumerate(histories):
        stamps = [token >= BEGIN for token in history]
        state.n_sampled[row] = len(history)
        state.last_timestamps[row] = next((token for token in reversed(history) if token >= BEGIN), -1)
        state.is_last_timestamp[row] = bool(stamps and stamps[-1])
        state.is_before_timestamp[row] = len(history) < 2 or stamps[-2]
    logits = torch.randn((n_rows, N_VOCAB), generator=torch.Generator().manual_seed(seed)) * 3
    rules = AttemptRules(max_new_tokens=99, min_new_tokens=min_tokens)
    states = [DecodingState(prompt=DecoderPrompt(tokens=(41,)), rules=rules, sampled=each) for each in histories]
    expected = logits.clone()
    engine_rules.filter(expected, states)
    flags = token_flags(N_VOCAB, SUPPRESSED, AT_BEGIN, device="cpu")
    found = filter_logits(
        logits, flags, state, timestamp_begin=BEGIN, initial_end=BEGIN + MAX_INITIAL + 1, eot=EOT
    )
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


LENGTHS = (300, 500, 300)


@torch.inference_mode()
def test_steps_choose_the_engines_tokens() -> None:
    """Three windows of unequal length, from the prompt's first token to the end by the maximum of tokens."""
    mels = [random_mel(SMALL, n_positions=length, seed=seed) for seed, length in enumerate(LENGTHS)]
    model = random_model(SMALL, device="cpu", slots=4)
    prompt = SMALL.prompt()
    expected = decode(model, mels, prompt, AttemptRules(max_new_tokens=20))

    weights = shape_weights(SMALL, device="cpu")
    caches = allocate_caches(weights, n_slots=3, max_tokens=40, max_positions=1_500)
    for slot, mel in enumerate(mels):
        write_window(caches, weights, slot, internals.encode(model, mel))
    state = begin_states(3, list(prompt.tokens), device="cpu", max_tokens=20)
    state.lengths.copy_(torch.tensor(LENGTHS))
    scene = Scene(weights=weights, caches=caches, state=state, rules=shape_rules(SMALL, device="cpu"))
    tokens, logprobs = decode_rows(scene.step("torch"), state, n_steps=40)
    assert tokens == [each.sampled for each in expected]
    for found, each in zip(logprobs, expected, strict=True):
        assert found == pytest.approx(each.logprobs, abs=1e-3)


@torch.inference_mode()
def test_windows_encoded_together_are_as_the_engine_encodes_them() -> None:
    lengths = (450, 200, 200, 1_500)
    mels = [random_mel(SMALL, n_positions=length, seed=seed) for seed, length in enumerate(lengths)]
    model = internals.random_encoder(SMALL, device="cpu", dtype=torch.float32)
    weights = encoder_weights(random_tensors(SMALL, device="cpu", dtype=torch.float32), SMALL.config)
    found = RaggedEncoder(weights)(mels, window_bounds(lengths, device="cpu"))
    torch.testing.assert_close(found, torch.cat([model(mel) for mel in mels]), atol=1e-3, rtol=1e-3)


def waveforms() -> Tensor:
    """Three recordings of 2 s: noise that swells at different times."""
    generator = torch.Generator().manual_seed(0)
    swelling = torch.linspace(0, 6, 32_000).add(torch.arange(3)[:, None]).sin().square()
    return torch.randn((3, 32_000), generator=generator) * swelling * 0.1


def test_spectrograms_together_equal_each_alone() -> None:
    found = log_mel(waveforms(), internals.mel_filters(80), torch.hann_window(N_FFT))
    for row, waveform in zip(found, waveforms(), strict=True):
        alone = LogMelSpectrogram(80)
        alone.push(waveform.numpy())
        torch.testing.assert_close(row, alone.finish(), atol=1e-4, rtol=1e-4)


def test_speech_probabilities_together_equal_each_alone() -> None:
    found = internals.speech_network().probabilities(waveforms())
    for row, waveform in zip(found, waveforms(), strict=True):
        expected = torch.from_numpy(VoiceActivityDetector().stream().push(waveform.numpy()))
        torch.testing.assert_close(row[: len(expected)], expected, atol=1e-4, rtol=1e-3)
        assert len(expected) > 60


def test_bytes_of_a_step_are_those_of_the_shape() -> None:
    weights = shape_weights(SMALL, device="cpu")
    expected = weight_bytes(SMALL, n_bytes=4)
    n_bytes = expected["weights"] + 1.5 * expected["window"]
    assert step_bytes(weights, [1_500, 750]) == pytest.approx(n_bytes, rel=2e-3)  # There is padding.
