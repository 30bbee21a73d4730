"""LiteLLM's calls through each provider that leads here. Arguments: URL ENGLISH GERMAN NO_AUDIO."""

import sys
from functools import partial

import litellm
from outcomes import Outcomes

url, english, _, no_audio = sys.argv[1:]
outcomes = Outcomes()
PROVIDERS = {
    "openai": {"model": "openai/whisper-1", "api_base": f"{url}/v1"},
    "azure": {"model": "azure/whisper-1", "api_base": url, "api_version": "2024-10-21"},
    "groq": {"model": "groq/whisper-large-v3", "api_base": f"{url}/openai/v1"},
    "deepinfra": {"model": "deepinfra/openai/whisper-large-v3", "api_base": f"{url}/v1/openai"},
    "hosted_vllm": {"model": "hosted_vllm/openai/whisper-base", "api_base": url},
}
WORDS = {"response_format": "verbose_json", "timestamp_granularities": ["word"]}


def transcribe(path: str, **options: object) -> object:
    with open(path, "rb") as file:
        return litellm.transcription(file=file, api_key="any", max_retries=0, **options)


for name, options in PROVIDERS.items():
    ask = partial(transcribe, **options)
    outcomes.call(name, ask, english)
    outcomes.call(f"{name}_verbose_json", ask, english, response_format="verbose_json")
    outcomes.call(f"{name}_no_audio", ask, no_audio)
outcomes.call("openai_words", transcribe, english, **PROVIDERS["openai"], **WORDS)
outcomes.call("openai_text", transcribe, english, **PROVIDERS["openai"], response_format="text")
outcomes.call("openai_unknown_model", transcribe, english, **PROVIDERS["openai"] | {"model": "openai/whisper-9"})
outcomes.print()
