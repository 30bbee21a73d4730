"""Calls of OpenAI's Python client, the same for 1.x, 2.x and 3.x. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import asyncio
import inspect
import sys
from pathlib import Path

from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from outcomes import Outcomes

url, english, german, no_audio = sys.argv[1:]
outcomes = Outcomes()
client = OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
transcribe = client.audio.transcriptions.create


async def stream_asynchronously() -> list:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as opened:
        with open(english, "rb") as file:
            stream = await opened.audio.transcriptions.create(model="whisper-1", file=file, stream=True)
            return [event async for event in stream]


outcomes.call("default", transcribe, model="whisper-1", file=Path(english))
outcomes.call("bytes", transcribe, model="whisper-1", file=Path(english).read_bytes())
with open(english, "rb") as file:
    outcomes.call("opened", transcribe, model="whisper-1", file=file)
outcomes.call("text", transcribe, model="whisper-1", file=Path(english), response_format="text")
outcomes.call("srt", transcribe, model="whisper-1", file=Path(english), response_format="srt")
outcomes.call(
    "verbose_json",
    transcribe,
    model="whisper-1",
    file=Path(english),
    response_format="verbose_json",
    timestamp_granularities=["word", "segment"],
)
outcomes.call("stream", lambda: list(transcribe(model="whisper-1", file=Path(english), stream=True)))
outcomes.call("asynchronous_stream", lambda: asyncio.run(stream_asynchronously()))
outcomes.call("translation", client.audio.translations.create, model="whisper-1", file=Path(german))
outcomes.call("models", lambda: list(client.models.list()))
outcomes.call("unknown_model", transcribe, model="whisper-9", file=Path(english))
outcomes.call("no_audio", transcribe, model="whisper-1", file=Path(no_audio))
if "languages" in inspect.signature(transcribe).parameters:
    outcomes.call("languages", transcribe, model="whisper-1", file=Path(english), languages=["en", "de"])
    outcomes.call("one_of_languages", transcribe, model="whisper-1", file=Path(english), languages=["en"])

wrong = OpenAI(base_url=f"{url}/v2", api_key="any", max_retries=0)
outcomes.call("wrong_path", wrong.audio.transcriptions.create, model="whisper-1", file=Path(english))
azure_v1 = OpenAI(base_url=f"{url}/openai/v1/", api_key="any", max_retries=0)
outcomes.call("azure_v1", azure_v1.audio.transcriptions.create, model="whisper-1", file=Path(english))
slash = OpenAI(base_url=f"{url}//v1/", api_key="any", max_retries=0)
outcomes.call("doubled_slash", slash.audio.transcriptions.create, model="whisper-1", file=Path(english))
bare = OpenAI(base_url=url, api_key="any", max_retries=0)
outcomes.call("without_v1", bare.audio.transcriptions.create, model="whisper-1", file=Path(english))

azure = AzureOpenAI(azure_endpoint=url, api_key="any", api_version="2024-10-21", max_retries=0)
outcomes.call("azure", azure.audio.transcriptions.create, model="whisper-1", file=Path(english))
outcomes.call("azure_translation", azure.audio.translations.create, model="whisper-1", file=Path(german))
outcomes.call("azure_unknown_deployment", azure.audio.transcriptions.create, model="whisper-9", file=Path(english))
outcomes.print()
