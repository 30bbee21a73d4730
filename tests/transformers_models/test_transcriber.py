"""Requests of models that are not Whisper: batches, turns, cancellation, one thread, and memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from hf_asr_endpoint.audio.chunking import Chunk, SpeechSpan
from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.errors import EngineError, EngineUnavailable
from hf_asr_endpoint.transformers_models.family import ChunkInContext, ChunkText, HaveLeft
from hf_asr_endpoint.transformers_models.transcriber import TransformersTranscriber
from hf_asr_endpoint.transformers_models.worker import ModelWorker
from hf_asr_endpoint.types import ModelInfo, TranscriptionOptions
from tests.conftest import DATA
from tests.transformers_models.conftest import transcribe

NOTHING = np.zeros(0, np.float32)
OPTIONS = TranscriptionOptions()
TIMEOUT_S = 60.0
CLIP = (DATA / "3331-159605-0004.flac").read_bytes()


class ScriptedFamily:
    """A Family that notes its batches, and computes once it may. A chunk's text is its offset."""

    context_s = 0.0
    languages: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.threads: set[int] = set()
        self.may_compute = threading.Event()
        self.has_begun = threading.Event()
        self.leaves: dict[float, CancellationToken] = {}  # cancelled while a chunk is computed
        self.had_left: list[bool] = []

    def check(self, options: TranscriptionOptions) -> None:
        pass

    def transcribe(
        self, chunks: Sequence[ChunkInContext], options: TranscriptionOptions, *, have_left: HaveLeft
    ) -> list[ChunkText]:
        self.batches.append([each.chunk.offset_s for each in chunks])
        self.threads.add(threading.get_ident())
        self.has_begun.set()
        assert self.may_compute.wait(TIMEOUT_S)
        for each in chunks:
            if each.chunk.offset_s in self.leaves:
                self.leaves[each.chunk.offset_s].cancel()
        self.had_left = list(have_left())
        if options.decoding.seed == 13:
            raise RuntimeError("no luck")
        if options.decoding.seed == 14:
            return []
        return [ChunkText(text=f" {each.chunk.offset_s:g}") for each in chunks]


def chunk(offset_s: float) -> ChunkInContext:
    span = SpeechSpan(start_s=0.0, end_s=1.0)
    return ChunkInContext(
        chunk=Chunk(waveform=np.zeros(16_000, np.float32), offset_s=offset_s, speech=(span,)),
        before=NOTHING,
        after=NOTHING,
    )


def busy_worker(family: ScriptedFamily, *, max_batch: int) -> ModelWorker:
    """Return a worker that computes a chunk of another request until the family may."""
    worker = ModelWorker(family, max_batch=max_batch)
    worker.submit(chunk(-1), OPTIONS, CancellationToken())
    assert family.has_begun.wait(TIMEOUT_S)
    return worker


def test_chunks_that_wait_are_one_batch_and_requests_take_turns() -> None:
    family = ScriptedFamily()
    worker = busy_worker(family, max_batch=4)
    long, short = CancellationToken(), CancellationToken()
    results = [worker.submit(chunk(index), OPTIONS, long) for index in range(5)]
    results += [worker.submit(chunk(10 + index), OPTIONS, short) for index in range(2)]
    family.may_compute.set()
    assert [result.result(TIMEOUT_S).text for result in results] == [
        f" {each}" for each in (0, 1, 2, 3, 4, 10, 11)
    ]
    assert family.batches == [[-1], [0, 10, 1, 11], [2, 3, 4]]
    assert len(family.threads) == 1
    worker.close()


def test_other_options_and_what_is_sampled_are_batches_of_their_own() -> None:
    family = ScriptedFamily()
    worker = busy_worker(family, max_batch=4)
    beams = TranscriptionOptions(decoding=DecodingOptions.from_flat(num_beams=2))
    sampled = TranscriptionOptions(decoding=DecodingOptions(temperatures=(0.5,)))
    german = TranscriptionOptions(language="de")
    results = [
        worker.submit(chunk(index), options, CancellationToken())
        for index, options in enumerate((sampled, sampled, beams, beams, beams, OPTIONS, german, OPTIONS))
    ]
    family.may_compute.set()
    for result in results:
        result.result(TIMEOUT_S)
    assert family.batches == [[-1], [0], [1], [2, 3], [4], [5, 7], [6]]
    worker.close()


def test_a_cancelled_request_does_not_run_and_one_that_runs_is_stopped() -> None:
    family = ScriptedFamily()
    worker = ModelWorker(family, max_batch=1)
    running, waiting = CancellationToken(), CancellationToken()
    worker.submit(chunk(0), OPTIONS, running)
    assert family.has_begun.wait(TIMEOUT_S)
    result = worker.submit(chunk(1), OPTIONS, waiting)
    waiting.cancel()
    running.cancel()
    with pytest.raises(EngineUnavailable, match="cancelled"):
        result.result(TIMEOUT_S)
    assert worker.n_waiting == 0
    family.may_compute.set()
    worker.close()
    assert family.batches == [[0]]
    assert family.had_left == [True]


def test_one_request_leaves_a_batch_and_the_others_get_their_texts() -> None:
    family = ScriptedFamily()
    worker = busy_worker(family, max_batch=2)
    family.leaves[0] = CancellationToken()
    left = worker.submit(chunk(0), OPTIONS, family.leaves[0])
    stays = worker.submit(chunk(1), OPTIONS, CancellationToken())
    family.may_compute.set()
    assert stays.result(TIMEOUT_S).text == " 1"
    with pytest.raises(EngineUnavailable, match="cancelled"):
        left.result(TIMEOUT_S)
    worker.close()
    assert family.had_left == [True, False]
    assert (worker.ended["finished"], worker.ended["cancelled"]) == (2, 1)


@pytest.mark.parametrize(("seed", "reason"), [(13, "no luck"), (14, "0 texts for 1 chunks")])
def test_a_failure_ends_its_batch_and_no_other(seed: int, reason: str) -> None:
    family = ScriptedFamily()
    family.may_compute.set()
    worker = ModelWorker(family, max_batch=2)
    unlucky = TranscriptionOptions(decoding=DecodingOptions(seed=seed))
    with pytest.raises(EngineError, match=f"the model failed: RuntimeError: {reason}"):
        worker.submit(chunk(0), unlucky, CancellationToken()).result(TIMEOUT_S)
    assert worker.submit(chunk(1), OPTIONS, CancellationToken()).result(TIMEOUT_S).text == " 1"
    worker.close()
    with pytest.raises(EngineUnavailable, match="shutting down"):
        worker.submit(chunk(2), OPTIONS, CancellationToken())


def test_sixteen_clients_are_a_few_batches() -> None:
    family = ScriptedFamily()
    transcriber = TransformersTranscriber(
        family, ModelInfo(device="cpu", dtype="float32", is_multilingual=False), **LIMITS
    )

    async def ask() -> list[str]:
        asked = [asyncio.create_task(transcribe(transcriber, CLIP))]
        assert await asyncio.to_thread(family.has_begun.wait, TIMEOUT_S)
        asked += [asyncio.create_task(transcribe(transcriber, CLIP)) for _ in range(15)]
        async with asyncio.timeout(TIMEOUT_S):
            while transcriber.activity().windows_waiting < 15:
                await asyncio.sleep(0.01)
        family.may_compute.set()
        return [(await each).text for each in asked]

    assert asyncio.run(ask()) == ["0"] * 16
    assert [len(batch) for batch in family.batches] == [1, 15]
    assert transcriber.activity().windows["finished"] == 16
    transcriber.close()
    assert transcriber.health().state == "failed"


LIMITS = {"max_requests": 16, "max_batch": 16, "max_ahead": 4, "max_beams": 4}
