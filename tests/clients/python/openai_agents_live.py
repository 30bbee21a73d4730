"""A live session of the OpenAI Agents SDK's speech-to-text model. Arguments: URL ENGLISH."""

import asyncio
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
from agents.voice import OpenAIVoiceModelProvider, StreamedAudioInput, STTModelSettings
from openai import AsyncOpenAI
from outcomes import Outcomes

url, english = sys.argv[1:]
outcomes = Outcomes()
SAMPLE_RATE = 24_000
PIECE = SAMPLE_RATE // 10


def read(path: str) -> np.ndarray:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path]
    options = ["-f", "s16le", "-ac", "1", "-ar", str(SAMPLE_RATE), "-"]
    return np.frombuffer(subprocess.run([*command, *options], capture_output=True, check=True).stdout, np.int16)


async def listen(**settings: object) -> list[str]:
    provider = OpenAIVoiceModelProvider(
        openai_client=AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    )
    audio, samples = StreamedAudioInput(), read(english)
    session = await provider.get_stt_model("gpt-4o-transcribe").create_session(
        audio, STTModelSettings(**settings), False, False
    )
    for begin in range(0, len(samples), PIECE):
        await audio.add_audio(samples[begin : begin + PIECE])
    await audio.add_audio(None)
    texts = [text async for text in session.transcribe_turns()]
    await session.close()
    return texts


def run(**settings: object) -> str:
    return " ".join(asyncio.run(listen(**settings)))


outcomes.call("default", run)
outcomes.call("server_vad", run, turn_detection={"type": "server_vad", "silence_duration_ms": 300})
outcomes.print()
