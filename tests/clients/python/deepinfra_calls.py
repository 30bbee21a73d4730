"""Calls of DeepInfra's Python client. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import sys

from deepinfra import AutomaticSpeechRecognition
from outcomes import Outcomes

url, english, german, no_audio = sys.argv[1:]
outcomes = Outcomes()


def generate(model: str = "openai/whisper-base", **body: object) -> object:
    return AutomaticSpeechRecognition(f"{url}/v1/inference/{model}", "any").generate(body)


outcomes.call("default", generate, audio=english)
outcomes.call("words", generate, audio=english, chunk_level="word")
outcomes.call("translation", generate, audio=german, task="translate")
outcomes.call("unknown_model", generate, "openai/whisper-9", audio=english)
outcomes.call("no_audio", generate, audio=no_audio)
outcomes.print()
