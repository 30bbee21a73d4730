"""Calls of Mistral's Python client. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import sys
from pathlib import Path

from mistralai.client import Mistral
from outcomes import Outcomes

url, english, _, no_audio = sys.argv[1:]
outcomes = Outcomes()
client = Mistral(api_key="any", server_url=url)
transcribe = client.audio.transcriptions.complete
MODEL = "voxtral-mini-latest"


def upload(path: str) -> dict:
    return {"content": Path(path).read_bytes(), "file_name": Path(path).name}


outcomes.call("default", transcribe, model=MODEL, file=upload(english))
outcomes.call("language", transcribe, model=MODEL, file=upload(english), language="en")
outcomes.call("segments", transcribe, model=MODEL, file=upload(english), timestamp_granularities=["segment"])
outcomes.call("stream", lambda: list(client.audio.transcriptions.stream(model=MODEL, file=upload(english))))
outcomes.call("unknown_model", transcribe, model="voxtral-9", file=upload(english))
outcomes.call("no_audio", transcribe, model=MODEL, file=upload(no_audio))
outcomes.print()
