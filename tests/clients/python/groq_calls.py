"""Calls of Groq's Python client. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import sys
from pathlib import Path

from groq import Groq
from outcomes import Outcomes

url, english, german, no_audio = sys.argv[1:]
outcomes = Outcomes()
client = Groq(base_url=url, api_key="any", max_retries=0)
transcribe = client.audio.transcriptions.create
MODEL = "whisper-large-v3-turbo"

outcomes.call("default", transcribe, model=MODEL, file=Path(english))
# As in Groq's documentation: name and bytes.
outcomes.call("documented", transcribe, model=MODEL, file=(english, Path(english).read_bytes()), temperature=0)
outcomes.call(
    "verbose_json",
    transcribe,
    model=MODEL,
    file=Path(english),
    response_format="verbose_json",
    timestamp_granularities=["word", "segment"],
    language="en",
    prompt="A speech.",
    temperature=0.0,
)
outcomes.call("translation", client.audio.translations.create, model=MODEL, file=Path(german))
outcomes.call("models", lambda: client.models.list().data)
outcomes.call("unknown_model", transcribe, model="whisper-9", file=Path(english))
outcomes.call("no_audio", transcribe, model=MODEL, file=Path(no_audio))
outcomes.print()
