"""What happens when the device runs out of memory, fails for good, or computes wrongly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Sequence as EngineSequence
from hf_asr_endpoint.engine.sequence import Status
from hf_asr_endpoint.errors import DeviceLost, EngineUnavailable, ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.device.accelerator import HostAccelerator
from hf_asr_endpoint.whisper.device.device_speech_model import DeviceSpeechModel
from hf_asr_endpoint.whisper.device.ragged_encoder import RaggedEncoder, WindowBounds
from hf_asr_endpoint.whisper.device.self_test import check_device
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from tests.parity.random_whisper import N_MELS, SOT
from tests.whisper.device.conftest import N_SLOTS, new_device_model
from tests.whisper.device.running import Text, assert_equal_rows, decode, sequence, window

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = [Text(window=window(seed)) for seed in range(6)]


class BrokenAccelerator(HostAccelerator):
    """Is lost once it has been broken. n_graphs: that there is memory for."""

    def __init__(self, *, n_graphs: int = 99) -> None:
        super().__init__()
        self.is_broken = False
        self._n_graphs = n_graphs

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self._n_graphs -= 1
        if self._n_graphs < 0:
            raise torch.OutOfMemoryError("no memory for a graph")

        def run() -> None:
            if self.is_broken:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            work()

        return run

    def is_lost(self) -> bool:
        return self.is_broken


def limit_windows(monkeypatch: pytest.MonkeyPatch, n: int) -> list[int]:
    """Let encoding more windows together run out of memory; return the numbers that are tried."""
    tried: list[int] = []
    encode = RaggedEncoder.__call__

    def limited(self: RaggedEncoder, mels: Sequence[Tensor], bounds: WindowBounds) -> Tensor:
        tried.append(len(mels))
        if len(mels) > n:
            raise torch.OutOfMemoryError("no memory")
        return encode(self, mels, bounds)

    monkeypatch.setattr(RaggedEncoder, "__call__", limited)
    return tried


def submit(engine: Engine, texts: Sequence[Text]) -> list[EngineSequence]:
    ended: SimpleQueue[EngineSequence] = SimpleQueue()
    sequences = [sequence(text, ended) for text in texts]
    for each in sequences:
        engine.submit(each)
    return sequences


def run(engine: Engine, sequences: Sequence[EngineSequence]) -> None:
    for _ in range(200):
        engine.step()
        if all(each.status not in (Status.WAITING, Status.RUNNING) for each in sequences):
            return
    raise AssertionError("sequences did not end")


def test_without_memory_fewer_windows_are_encoded_together(
    random_checkpoint: WhisperCheckpoint, host_model: WhisperSpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = DeviceSpeechModel(random_checkpoint, slots=N_SLOTS, accelerator=HostAccelerator(), max_windows=4)
    tried = limit_windows(monkeypatch, 1)
    engine = Engine(model, slots=N_SLOTS, windows_per_step=model.windows_per_step)
    sequences = submit(engine, TEXTS)
    run(engine, sequences)
    assert tried == [4, 2, *[1] * len(TEXTS)]
    assert model.windows_per_step == 1
    monkeypatch.undo()
    assert_equal_rows([each.rows for each in sequences], decode(host_model, TEXTS, slots=N_SLOTS))


def test_a_window_without_memory_fails_and_the_engine_goes_on(
    random_checkpoint: WhisperCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(new_device_model(random_checkpoint), slots=N_SLOTS)
    running = submit(engine, TEXTS[:1])
    engine.step()
    limit_windows(monkeypatch, 0)
    failing = submit(engine, TEXTS[1:2])
    run(engine, failing)
    monkeypatch.undo()
    after = submit(engine, TEXTS[2:3])
    run(engine, [*running, *after])
    assert [each.status for each in (*running, *failing, *after)] == [
        Status.FINISHED,
        Status.FAILED,
        Status.FINISHED,
    ]


def test_steps_run_without_graphs_where_these_do_not_fit(
    random_checkpoint: WhisperCheckpoint, host_model: WhisperSpeechModel
) -> None:
    model = new_device_model(random_checkpoint, BrokenAccelerator(n_graphs=2))
    assert_equal_rows(decode(model, TEXTS, slots=N_SLOTS), decode(host_model, TEXTS, slots=N_SLOTS))


def test_a_lost_device_ends_the_engine_and_all_its_sequences(random_checkpoint: WhisperCheckpoint) -> None:
    accelerator = BrokenAccelerator()
    model = new_device_model(random_checkpoint, accelerator)
    engine = Engine(model, slots=N_SLOTS)
    accelerator.is_broken = True
    sequences = submit(engine, TEXTS)
    engine.start()
    engine._thread.join(timeout=30)
    assert isinstance(engine.failure, EngineUnavailable)
    assert "illegal memory access" in str(engine.failure)
    assert {each.status for each in sequences} == {Status.FAILED}
    with pytest.raises(EngineUnavailable):
        submit(engine, TEXTS[:1])
    with pytest.raises(DeviceLost):
        decode(model, TEXTS[:1], slots=1)


def test_the_self_test_passes_and_leaves_nothing_behind(
    random_checkpoint: WhisperCheckpoint, host_model: WhisperSpeechModel
) -> None:
    model = new_device_model(random_checkpoint)
    check_device(model, sot=SOT, n_mels=N_MELS)
    assert_equal_rows(decode(model, TEXTS, slots=N_SLOTS), decode(host_model, TEXTS, slots=N_SLOTS))


def test_the_self_test_refuses_a_device_that_computes_wrongly(random_checkpoint: WhisperCheckpoint) -> None:
    class Forgetful(HostAccelerator):
        """Its graphs run nothing, as kernels do that the driver cannot load."""

        def capture(self, work: Callable[[], None]) -> Callable[[], None]:
            work()
            return lambda: None

    model = new_device_model(random_checkpoint, Forgetful())
    with pytest.raises(ModelUnavailable, match="computes wrongly"):
        check_device(model, sot=SOT, n_mels=N_MELS)
