"""Calls of Together's Python client. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import sys
from pathlib import Path

from outcomes import Outcomes
from together import Together

url, english, german, no_audio = sys.argv[1:]
outcomes = Outcomes()
client = Together(api_key="any", base_url=url, max_retries=0)
transcribe = client.audio.transcriptions.create

# Only the file is required: the client sends no model.
outcomes.call("default", transcribe, file=Path(english))
outcomes.call("named", transcribe, model="openai/whisper-large-v3", file=Path(english), language="en")
outcomes.call(
    "verbose_json",
    transcribe,
    model="openai/whisper-large-v3",
    file=Path(english),
    response_format="verbose_json",
    timestamp_granularities=["segment", "word"],
    diarize=False,
)
outcomes.call("translation", client.audio.translations.create, file=Path(german))
outcomes.call("unknown_model", transcribe, model="whisper-9", file=Path(english))
outcomes.call("no_audio", transcribe, file=Path(no_audio))
outcomes.print()
