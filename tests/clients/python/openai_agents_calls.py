"""Calls of the OpenAI Agents SDK's speech-to-text model. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import asyncio
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
from agents.voice import AudioInput, OpenAIVoiceModelProvider, STTModelSettings
from openai import AsyncOpenAI
from outcomes import Outcomes

url, english, _, _ = sys.argv[1:]
outcomes = Outcomes()
SAMPLE_RATE = 24_000  # AudioInput's default


def read(path: str) -> AudioInput:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path]
    options = ["-f", "s16le", "-ac", "1", "-ar", str(SAMPLE_RATE), "-"]
    samples = subprocess.run([*command, *options], capture_output=True, check=True).stdout
    return AudioInput(buffer=np.frombuffer(samples, np.int16))


async def transcribe(provider: OpenAIVoiceModelProvider, model: str | None = None, **settings: object) -> str:
    return await provider.get_stt_model(model).transcribe(audio, STTModelSettings(**settings), False, False)


def run(*arguments: str, **settings: object) -> str:
    # The provider keeps its connections, which belong to one event loop.
    provider = OpenAIVoiceModelProvider(
        openai_client=AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    )
    return asyncio.run(transcribe(provider, *arguments, **settings))


audio = read(english)
# The model that the SDK names by itself: the server serves that name too.
outcomes.call("default", run)
outcomes.call("languages", run, "gpt-transcribe", language="en")
outcomes.call("language", run, "whisper-1", language="en", prompt="A speech.", temperature=0)
outcomes.call("unknown_model", run, "whisper-9")
outcomes.print()
