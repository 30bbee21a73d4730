from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many
from pathlib import Path

import pytest
import torch

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Sequence
from hf_asr_endpoint.errors import EngineError
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transcription.warm_up import warm_up
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan

N_SLOTS = 6


class CountingModel:
    """A SpeechModel that always chooses the same token, and records the sizes of its inputs."""

    is_encoding = False

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.batches: set[int] = set()
        self.busy: set[int] = set()
        self.failure: Exception | None = None

    def encode(
        self, windows: Mapping[int, torch.Tensor], *, spans: Mapping[int, Many[PositionSpan]]
    ) -> dict[int, list[LanguageScores]]:
        assert not spans, "no language is asked for"
        self.frames += [window.shape[1] for window in windows.values()]
        self.busy |= windows.keys()
        return {}

    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        for state in states.values():
            state.append(7, -1.0, eot=0)

    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        if self.failure is not None:
            raise self.failure
        self.batches.add(len(states))
        for state in states.values():
            state.append(7, -1.0, eot=0)

    def free(self, slot: int) -> None:
        self.busy.discard(slot)


@pytest.fixture
def model() -> CountingModel:
    return CountingModel()


class LateEngine(Engine):
    """Begins when all has been submitted, so that no step depends on when its thread gets a core."""

    n_submitted = 0

    def submit(self, sequence: Sequence) -> None:
        super().submit(sequence)
        self.n_submitted += 1
        if self.n_submitted == N_SLOTS:
            self.start()


@pytest.fixture
def engine(model: CountingModel) -> Iterator[Engine]:
    engine = LateEngine(model, slots=N_SLOTS)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def vocabulary(base_directory: Path) -> Vocabulary:
    return Vocabulary(WhisperTokenizer.from_directory(base_directory), is_multilingual=True)


def test_warm_up_runs_every_batch_size_and_windows_from_short_to_whole(
    engine: Engine, model: CountingModel, vocabulary: Vocabulary
) -> None:
    """The longest window was left out."""
    warm_up(engine, vocabulary, slots=N_SLOTS, n_mels=80, compiles_each_shape=True)
    assert model.batches == set(range(1, N_SLOTS + 1))
    assert sorted(model.frames) == [200, 800, 1_400, 2_000, 2_600, 3_000]
    assert model.busy == set()


def test_a_short_window_is_enough_where_nothing_is_compiled_for_a_shape(
    engine: LateEngine, model: CountingModel, vocabulary: Vocabulary
) -> None:
    """With large-v3-turbo's weights on two cores, all the others took minutes."""
    engine.n_submitted = N_SLOTS - 1  # Only one sequence is awaited.
    warm_up(engine, vocabulary, slots=N_SLOTS, n_mels=80, compiles_each_shape=False)
    assert model.batches == {1}
    assert model.frames == [200]
    assert model.busy == set()


def test_an_engine_error_is_raised(engine: Engine, model: CountingModel, vocabulary: Vocabulary) -> None:
    model.failure = ValueError("odd")
    with pytest.raises(EngineError, match="the model failed: ValueError: odd"):
        warm_up(engine, vocabulary, slots=N_SLOTS, n_mels=80, compiles_each_shape=True)
