"""Live sessions of LiveKit Agents' speech-to-text plugins. Arguments: URL PCM_AUDIO (16 bit, mono, 24 kHz)."""

import asyncio
import sys
from pathlib import Path

from livekit import rtc
from livekit.agents import stt
from livekit.agents.utils import http_context
from livekit.plugins import openai
from outcomes import Outcomes

url, path = sys.argv[1:]
outcomes = Outcomes()
RATE = 24_000
PIECE_S = 0.05
PIECE_BYTES = round(RATE * PIECE_S) * 2
SPEED = 2  # times as fast as people speak
SILENCE = bytes(2 * RATE * 2)
LAST = "for your country"
TIMEOUT_S = 60


async def speak(stream: stt.RecognizeStream) -> None:
    audio = Path(path).read_bytes() + SILENCE
    for begin in range(0, len(audio), PIECE_BYTES):
        piece = audio[begin : begin + PIECE_BYTES]
        stream.push_frame(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))
        await asyncio.sleep(PIECE_S / SPEED)  # Where the plugin finds the turns itself, it must keep up.


async def listen(recognizer: stt.STT) -> dict[str, object]:
    texts, kinds = [], []
    stream = recognizer.stream()
    speaking = asyncio.create_task(speak(stream))
    async with asyncio.timeout(TIMEOUT_S):
        async for event in stream:
            kinds.append(event.type.value)
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                texts.append(event.alternatives[0].text)
                if LAST in " ".join(texts).lower():
                    break
    await speaking
    await stream.aclose()
    await recognizer.aclose()
    return {"text": " ".join(texts), "kinds": kinds}


def run(**options: object) -> dict[str, object]:
    async def connect() -> dict[str, object]:
        async with http_context.open():
            return await listen(openai.STT(base_url=f"{url}/v1", api_key="any", use_realtime=True, **options))

    return asyncio.run(connect())


outcomes.call("default", run)
outcomes.call("whisper", run, model="gpt-realtime-whisper")
outcomes.print()
