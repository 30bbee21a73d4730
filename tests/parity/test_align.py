"""Alignment has transformers' attention, in any batch, and times close to those of openai/whisper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import HOP_LENGTH, SAMPLE_RATE, TIME_PRECISION_S
from hf_asr_endpoint.whisper.alignment.aligner import select_alignment_heads
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput, locate_tokens
from tests.parity.conftest import Pair
from tests.parity.decoding import decode, greedy
from tests.parity.oracle import TIE
from tests.parity.recordings import LOCAL, Recording, cut_window, whole_window

pytestmark = pytest.mark.parity

CLOSE_S = 0.1  # 75 % of openai/whisper's own times are closer to forced alignments


@pytest.fixture(scope="module")
def eager(base_directory: Path) -> WhisperForConditionalGeneration:
    """Return transformers' whisper-base, which returns attention weights."""
    model = WhisperForConditionalGeneration.from_pretrained(
        base_directory, dtype=torch.float32, attn_implementation="eager"
    )
    assert isinstance(model, WhisperForConditionalGeneration)
    return model.eval()


def decoded(pair: Pair, recording: Recording) -> AlignmentInput:
    """Decode a recording in slot 0 and return its text."""
    pair.model.encode({0: whole_window(recording.waveform())})
    state = greedy(pair.prompt(recording.language))
    decode(pair.model, {0: state})
    pair.model.free(0)
    return AlignmentInput(
        prompt=pair.vocabulary.prompt_without_timestamps(state),
        tokens=pair.vocabulary.text_tokens(state.sampled),
        n_positions=-(-len(recording.waveform()) // (2 * HOP_LENGTH)),
    )


def align(pair: Pair, window: Tensor, text: AlignmentInput, *, slot: int = 0) -> AlignmentOutput:
    pair.model.encode({slot: window})
    found = pair.model.align({slot: text})[slot]
    pair.model.free(slot)
    return found


@torch.inference_mode()
def attend(
    model: WhisperForConditionalGeneration, pair: Pair, window: Tensor, text: AlignmentInput
) -> tuple[Tensor, Tensor]:
    """Return the cross-attention, (n_layers, n_heads, n_fed, n_positions), and the logits, (n_fed, n_vocab)."""
    fed = [*text.prompt, *text.tokens, pair.tokenizer.eot]
    output = model(
        encoder_outputs=BaseModelOutput(pair.oracle.encode(window)[None]),
        decoder_input_ids=torch.tensor([fed]),
        output_attentions=True,
    )
    weights = torch.cat(output.cross_attentions)[..., : text.n_positions]
    return weights / weights.sum(dim=-1, keepdim=True), output.logits[0]


def whisper_starts(weights: Tensor, heads: list[list[int]], text: AlignmentInput) -> npt.NDArray[np.float64]:
    """Return the start of each token in seconds, as `find_alignment` in openai/whisper's `timing.py` does."""
    chosen = torch.stack([weights[layer, head] for layer, head in heads])
    deviation, mean = torch.std_mean(chosen, dim=1, keepdim=True, correction=0)
    padded = torch.nn.functional.pad((chosen - mean) / deviation, (3, 3), mode="reflect")
    matrix = padded.unfold(2, 7, 1).median(dim=3).values.mean(dim=0)[len(text.prompt) - 1 : -1]
    costs = -matrix.double().numpy()
    n_rows, n_columns = costs.shape
    total = np.full((n_rows + 1, n_columns + 1), np.inf)
    total[0, 0] = 0.0
    for row in range(1, n_rows + 1):
        for column in range(1, n_columns + 1):
            least = min(total[row - 1, column - 1], total[row - 1, column], total[row, column - 1])
            total[row, column] = costs[row - 1, column - 1] + least
    first = np.zeros(n_rows)
    row, column = n_rows, n_columns
    while row > 1 or column > 1:
        first[row - 1] = column - 1
        steps = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
        row, column = min(steps, key=lambda step: float(total[step]))
    first[0] = 0
    return first[:-1] * TIME_PRECISION_S


@pytest.mark.parametrize("recording", [LOCAL[0], LOCAL[3]], ids=lambda recording: recording.name)
def test_attention_and_probabilities_equal_those_of_transformers(
    base: Pair, eager: WhisperForConditionalGeneration, recording: Recording
) -> None:
    text, window = decoded(base, recording), whole_window(recording.waveform())
    found = align(base, window, text)
    weights, logits = attend(eager, base, window, text)
    heads = select_alignment_heads(eager.generation_config.alignment_heads, n_layers=6, n_heads=8)
    begin, n_tokens = len(text.prompt) - 1, len(text.tokens)
    expected = torch.stack([weights[layer, head] for layer, head in heads]).mean(dim=0)[begin:-1]
    assert found.weights.shape == (n_tokens + 1, text.n_positions)
    np.testing.assert_allclose(found.weights, expected.numpy(), atol=1e-5)
    softmax = logits[begin : begin + n_tokens, : base.tokenizer.eot].softmax(dim=1)
    chosen = softmax[torch.arange(n_tokens), torch.tensor(text.tokens)]
    assert found.probabilities == pytest.approx(chosen.tolist(), abs=1e-4)


@pytest.mark.parametrize("recording", [LOCAL[0], LOCAL[1], LOCAL[3]], ids=lambda recording: recording.name)
def test_times_are_close_to_those_of_openai_whisper(
    base: Pair, eager: WhisperForConditionalGeneration, recording: Recording
) -> None:
    text, window = decoded(base, recording), whole_window(recording.waveform())
    weights, _ = attend(eager, base, window, text)
    expected = whisper_starts(weights, eager.generation_config.alignment_heads, text)
    seconds = len(recording.waveform()) / SAMPLE_RATE
    found = locate_tokens(align(base, window, text), begin_s=0.0, end_s=seconds)
    differences = np.abs(np.array([token.start for token in found]) - expected)
    assert np.median(differences) <= CLOSE_S
    assert np.mean(differences <= 2 * CLOSE_S) >= 0.8


@pytest.mark.parametrize("recording", LOCAL[:3], ids=lambda recording: recording.name)
def test_a_window_cut_to_the_audio_gives_the_times_of_a_whole_window(base: Pair, recording: Recording) -> None:
    text, waveform = decoded(base, recording), recording.waveform()
    starts = [
        np.array([token.start for token in locate_tokens(align(base, window, text), begin_s=0.0, end_s=30.0)])
        for window in (whole_window(waveform), cut_window(waveform))
    ]
    differences = np.abs(starts[0] - starts[1])
    assert np.median(differences) < 2 * TIME_PRECISION_S
    assert np.mean(differences <= CLOSE_S) >= 0.9


def test_texts_of_different_lengths_align_together_as_alone(base: Pair) -> None:
    texts = {slot: decoded(base, LOCAL[slot]) for slot in (0, 1, 3)}
    windows = {slot: cut_window(LOCAL[slot].waveform()) for slot in texts}
    assert len({len(text.tokens) for text in texts.values()}) == 3
    base.model.encode(windows)
    together = base.model.align(texts)
    for slot, text in texts.items():
        base.model.free(slot)
        alone = align(base, windows[slot], text, slot=7)
        np.testing.assert_allclose(together[slot].weights, alone.weights, atol=1e-5)
        assert together[slot].probabilities == pytest.approx(alone.probabilities, abs=1e-4)


def test_aligning_a_slot_does_not_change_the_decoding_of_others(tiny_en: Pair, speech: Waveform) -> None:
    window, prompt = cut_window(speech), tiny_en.prompt("en")
    states = {slot: greedy(prompt) for slot in (0, 1, 2)}
    tiny_en.model.encode({0: window, 1: window, 2: window})
    tiny_en.model.prefill(states)
    text = AlignmentInput(
        prompt=tiny_en.vocabulary.prompt_without_timestamps(states[1]), tokens=(400, 500, 600), n_positions=500
    )
    running = {slot: states[slot] for slot in (0, 2)}
    for n_steps in range(8):
        if n_steps in (0, 4):
            tiny_en.model.align({1: text})
        tiny_en.model.decode_step(running)
    alone = greedy(prompt)
    tiny_en.model.encode({1: window})
    tiny_en.model.prefill({1: alone})
    for _ in range(8):
        tiny_en.model.decode_step({1: alone})
    for state in running.values():
        assert state.sampled == alone.sampled
        assert state.sum_logprob == pytest.approx(alone.sum_logprob, abs=TIE)
    for slot in states:
        tiny_en.model.free(slot)
