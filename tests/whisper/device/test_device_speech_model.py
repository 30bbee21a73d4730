"""The device's model, on the CPU in float32, decodes what the host's model decodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Sequence as EngineSequence
from hf_asr_endpoint.engine.sequence import Status
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint, load_checkpoint
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecodingState
from hf_asr_endpoint.whisper.device.device_speech_model import DeviceSpeechModel
from hf_asr_endpoint.whisper.language_scores import PositionSpan
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from tests.parity.recordings import cut_window, frozen_recordings
from tests.whisper.device.conftest import N_SLOTS, LateAccelerator, RecordingAccelerator, new_device_model
from tests.whisper.device.running import (
    LONG_PROMPT,
    MIXED,
    PROMPT,
    Text,
    assert_equal_rows,
    decode,
    rules,
    sequence,
    window,
)

pytestmark = pytest.mark.usefixtures("one_thread")

GREEDY = [Text(window=window(seed)) for seed in range(9)]


@pytest.fixture(scope="module")
def expected(host_model: WhisperSpeechModel) -> list[list[DecodingState]]:
    return decode(host_model, MIXED, slots=N_SLOTS)


@pytest.mark.parametrize("hold", [0.0, 0.3])
def test_every_kind_of_row_gets_the_hosts_tokens(
    device_model: DeviceSpeechModel, expected: list[list[DecodingState]], hold: float
) -> None:
    """In two orders of admissions and ends, with some texts held back for a while."""
    for seed in (1, 2):
        assert_equal_rows(decode(device_model, MIXED, slots=N_SLOTS, seed=seed, hold=hold), expected)


def test_steps_recorded_once_serve_all_rows(
    random_checkpoint: WhisperCheckpoint, host_model: WhisperSpeechModel
) -> None:
    """A number of Python's that was part of a graph would be the same for all rows and steps."""
    model = new_device_model(random_checkpoint, RecordingAccelerator(), slots=3)
    assert_equal_rows(decode(model, GREEDY, slots=3), decode(host_model, GREEDY, slots=3))


def test_nothing_moves_in_a_thousand_texts(random_checkpoint: WhisperCheckpoint) -> None:
    model = new_device_model(random_checkpoint)
    before = {name: tensor.data_ptr() for name, tensor in static_tensors(model).items()}
    short = [Text(window=window(0)[:, :20], rules=rules(max_new_tokens=1)) for _ in range(140)]
    for seed in range(7):
        decode(model, [*short, MIXED[1], MIXED[5]], slots=N_SLOTS, seed=seed)
    assert {name: tensor.data_ptr() for name, tensor in static_tensors(model).items()} == before


def static_tensors(model: DeviceSpeechModel) -> dict[str, Tensor]:
    states = model._rows._states
    return {
        "texts": model._self_kv._cache,
        "windows": model._windows._cache,
        "logits": model._outputs.logits,
        "features": model._outputs.features,
        **{name: getattr(states, name) for name in states.__slots__},
    }


def test_what_unused_memory_holds_does_not_matter(
    random_checkpoint: WhisperCheckpoint, expected: list[list[DecodingState]]
) -> None:
    model = new_device_model(random_checkpoint)
    for tensor in (model._self_kv._cache, model._windows._cache, *vars_of(model._outputs)):
        tensor.fill_(torch.nan)
    assert_equal_rows(decode(model, MIXED, slots=N_SLOTS), expected)


def vars_of(outputs: object) -> list[Tensor]:
    return [getattr(outputs, name) for name in ("logits", "features")]


def test_a_window_of_several_slots_may_be_decoded_again_in_one(
    device_model: DeviceSpeechModel, host_model: WhisperSpeechModel
) -> None:
    found = []
    for model in (device_model, host_model):
        model.encode(dict.fromkeys((2, 5, 7), window(3)), spans={})
        first = dict(zip((2, 5, 7), (DecodingState(prompt=PROMPT, rules=rules()) for _ in range(3)), strict=True))
        run(model, first)
        again = {5: DecodingState(prompt=LONG_PROMPT, rules=rules())}
        run(model, again)
        found.append([[*first.values()], [*again.values()]])
        for slot in first:
            model.free(slot)
    assert_equal_rows(*found)


def run(model: DeviceSpeechModel | WhisperSpeechModel, states: dict[int, DecodingState]) -> None:
    model.prefill(states)
    while running := {slot: state for slot, state in states.items() if not state.is_finished}:
        model.decode_step(running)


def test_languages_are_those_of_the_host(
    device_model: DeviceSpeechModel, host_model: WhisperSpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in (device_model, host_model):  # The random model has no languages: three words stand for them.
        monkeypatch.setattr(model._host.rules, "_languages", torch.tensor([3, 7, 11]))
    spans = {1: [PositionSpan(0, 80), PositionSpan(80, 120)], 4: [PositionSpan(0, 300)]}
    windows = {1: window(1), 2: window(1), 4: window(3)}
    found, expected = (model.encode(windows, spans=spans) for model in (device_model, host_model))
    assert found.keys() == expected.keys()
    for slot, scores in expected.items():
        for score, other in zip(found[slot], scores, strict=True):
            assert score.logprobs == pytest.approx(other.logprobs, abs=1e-4)
            assert score.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-4)


def test_alignments_are_those_of_the_host(device_model: DeviceSpeechModel, host_model: WhisperSpeechModel) -> None:
    texts = {
        0: AlignmentInput(prompt=PROMPT.tokens, tokens=(3, 4, 5), n_positions=100),
        3: AlignmentInput(prompt=PROMPT.tokens, tokens=(6, 7, 8, 9, 1), n_positions=140),
    }
    results = []
    for model in (device_model, host_model):
        model.encode({0: window(0), 3: window(2)}, spans={})
        results.append(model.align(texts))
    for slot, expected in results[1].items():
        np.testing.assert_allclose(results[0][slot].weights, expected.weights, atol=1e-5)
        assert results[0][slot].probabilities == pytest.approx(expected.probabilities, abs=1e-4)


def test_a_text_that_could_outgrow_the_cache_is_refused(device_model: DeviceSpeechModel) -> None:
    device_model.encode({0: window(0)}, spans={})
    state = DecodingState(prompt=PROMPT, rules=AttemptRules(max_new_tokens=449))
    with pytest.raises(ValueError, match="exceed"):
        device_model.prefill({0: state})


def test_the_engine_ends_every_sequence_and_drops_the_cancelled(
    device_model: DeviceSpeechModel, expected: list[list[DecodingState]]
) -> None:
    engine = Engine(device_model, slots=N_SLOTS, windows_per_step=4)
    ended: SimpleQueue[EngineSequence] = SimpleQueue()
    sequences = [sequence(text, ended) for text in (*MIXED, *MIXED)]
    for each in sequences:
        engine.submit(each)
    cancelled = sequences[2 :: len(MIXED) // 2]
    for step in range(500):
        engine.step()
        if step == 3:
            for each in cancelled:
                each.request.token.cancel()
        if all(each.status not in (Status.WAITING, Status.RUNNING) for each in sequences):
            break
    finished = [each for each in sequences if each.status is Status.FINISHED]
    assert {each for each in sequences if each.status is Status.CANCELLED} <= set(cancelled)
    assert len(finished) >= len(sequences) - len(cancelled)
    twice = [*expected, *expected]
    numbers = [sequences.index(each) for each in finished]
    assert_equal_rows([each.rows for each in finished], [twice[number] for number in numbers])


def test_recordings_have_the_hosts_texts(tiny_en_directory: Path) -> None:
    """Real weights; windows of unequal length, in one batch, by two admissions."""
    checkpoint = load_checkpoint(tiny_en_directory, device="cpu", dtype="float32")
    prompt = Vocabulary(checkpoint.tokenizer, is_multilingual=False).prompt(language_token=None, task="transcribe")
    windows = [cut_window(recording.waveform()) for recording in frozen_recordings()[1:5]]
    texts: Sequence[Text] = [
        Text(window=each, prompt=prompt, rules=AttemptRules(max_new_tokens=60)) for each in windows
    ]
    host = WhisperSpeechModel(checkpoint, slots=4, arithmetic="float")
    found = decode(new_device_model(checkpoint, slots=4), texts, slots=4)
    assert_equal_rows(found, decode(host, texts, slots=4))
    assert any(len(row.sampled) > 10 for (row,) in found)


def test_windows_are_being_encoded_until_their_event_is_done(random_checkpoint: WhisperCheckpoint) -> None:
    model = new_device_model(random_checkpoint, LateAccelerator())
    assert not model.is_encoding
    model.encode({0: window(0)})
    assert [model.is_encoding for _ in range(5)] == [True, True, True, False, False]
