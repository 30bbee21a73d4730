"""Calls of huggingface_hub's InferenceClient. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import sys
from pathlib import Path

from huggingface_hub import InferenceClient
from outcomes import Outcomes

url, english, _, no_audio = sys.argv[1:]
outcomes = Outcomes()
client = InferenceClient(model=url)
transcribe = client.automatic_speech_recognition

outcomes.call("default", transcribe, english)
outcomes.call("bytes", transcribe, Path(english).read_bytes())
outcomes.call("chunks", transcribe, english, extra_body={"return_timestamps": True})
outcomes.call("no_audio", transcribe, no_audio)
outcomes.print()
