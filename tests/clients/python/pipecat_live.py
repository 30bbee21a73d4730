"""Live sessions of pipecat's speech-to-text services. Arguments: URL PCM_AUDIO (16 bit, mono, 24 kHz)."""

import asyncio
import sys
from pathlib import Path

from outcomes import Outcomes
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.stt import OpenAIRealtimeSTTService
from pipecat.workers.runner import WorkerRunner

url, path = sys.argv[1:]
socket_url = url.replace("http", "ws")
outcomes = Outcomes()
RATE = 24_000
PIECE_S = 0.02
PIECE_BYTES = round(RATE * PIECE_S) * 2
SPEED = 2  # times as fast as people speak
SILENCE = bytes(2 * RATE * 2)
LAST = "for your country"
TIMEOUT_S = 30


class Listener(FrameProcessor):
    """Keeps what comes out of the service."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.kinds: list[str] = []
        self.is_over = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputAudioRawFrame):
            self.kinds.append(type(frame).__name__)
        if isinstance(frame, TranscriptionFrame):
            self.texts.append(frame.text)
            if LAST in " ".join(self.texts).lower():
                self.is_over.set()
        await self.push_frame(frame, direction)


async def listen(service: FrameProcessor) -> dict[str, object]:
    """Speak one turn, with the events of a voice activity detector around it."""
    listener, errors = Listener(), []
    params = PipelineParams(audio_in_sample_rate=RATE)
    worker = PipelineWorker(Pipeline([service, listener]), params=params)

    @worker.event_handler("on_pipeline_error")
    async def keep_error(_: PipelineWorker, frame: ErrorFrame) -> None:
        errors.append(frame.error)
        listener.is_over.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await asyncio.sleep(1)  # Until the service has connected.
    audio = Path(path).read_bytes() + SILENCE
    await worker.queue_frame(VADUserStartedSpeakingFrame())
    for begin in range(0, len(audio), PIECE_BYTES):
        piece = audio[begin : begin + PIECE_BYTES]
        await worker.queue_frame(InputAudioRawFrame(audio=piece, sample_rate=RATE, num_channels=1))
        await asyncio.sleep(PIECE_S / SPEED)  # An interruption drops all frames that wait.
    await worker.queue_frame(VADUserStoppedSpeakingFrame())
    try:
        await asyncio.wait_for(listener.is_over.wait(), TIMEOUT_S)
    finally:
        await worker.queue_frame(EndFrame())
        await running
    return {"text": " ".join(listener.texts), "kinds": listener.kinds, "errors": errors}


def run_openai(**options: object) -> dict[str, object]:
    async def connect() -> dict[str, object]:
        return await listen(
            OpenAIRealtimeSTTService(api_key="any", base_url=f"{socket_url}/v1/realtime", **options)
        )

    return asyncio.run(connect())


def run_deepgram() -> dict[str, object]:
    async def connect() -> dict[str, object]:
        return await listen(DeepgramSTTService(api_key="any", base_url=socket_url))

    return asyncio.run(connect())


outcomes.call("openai", run_openai)
outcomes.call("openai_server_vad", run_openai, turn_detection={"type": "server_vad"})
outcomes.call("deepgram", run_deepgram)
outcomes.print()
