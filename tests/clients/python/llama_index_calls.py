"""Calls of LlamaIndex's whisper reader. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import asyncio
import sys
from pathlib import Path

from llama_index.readers.whisper import WhisperReader
from outcomes import Outcomes

url, english, german, no_audio = sys.argv[1:]
outcomes = Outcomes()


def make_reader(**options: object) -> WhisperReader:
    return WhisperReader(api_key="any", client_kwargs={"base_url": f"{url}/v1", "max_retries": 0}, **options)


def load(reader: WhisperReader, audio: object) -> list:
    return [document.text for document in reader.load_data(audio)]


def load_asynchronously(reader: WhisperReader, audio: object) -> list:
    return [document.text for document in asyncio.run(reader.aload_data(audio))]


outcomes.call("default", load, make_reader(), english)
outcomes.call("bytes", load, make_reader(), Path(english).read_bytes())
outcomes.call("asynchronous", load_asynchronously, make_reader(), english)
outcomes.call("german", load, make_reader(language="de"), german)
outcomes.call("unknown_model", load, make_reader(model="whisper-9"), english)
outcomes.call("no_audio", load, make_reader(), no_audio)
outcomes.print()
