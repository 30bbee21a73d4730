"""Calls of Haystack's RemoteWhisperTranscriber. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import sys
from pathlib import Path

from haystack.dataclasses import ByteStream
from haystack.utils import Secret
from haystack_integrations.components.audio.whisper import RemoteWhisperTranscriber
from outcomes import Outcomes

url, english, _, no_audio = sys.argv[1:]
outcomes = Outcomes()


def run(source: object, **options: object) -> list:
    transcriber = RemoteWhisperTranscriber(
        api_key=Secret.from_token("any"), api_base_url=f"{url}/v1", http_client_kwargs={"timeout": 120}, **options
    )
    return [document.content for document in transcriber.run(sources=[source])["documents"]]


outcomes.call("default", run, english)
outcomes.call("byte_stream", run, ByteStream(data=Path(english).read_bytes()))
outcomes.call("language", run, english, language="en", prompt="A speech.", temperature=0.0)
outcomes.call("unknown_model", run, english, model="whisper-9")
outcomes.call("no_audio", run, no_audio)
outcomes.print()
