"""OpenAI's paths, under the base URLs of each client."""

from __future__ import annotations

from hf_asr_endpoint.api.paths import DialectPaths, Prefix, below, get, post

_AUDIO = (post("/transcriptions", "create_transcription"), post("/translations", "create_translation"))
_MODELS = (get("", "list_models"), get("/{model:path}", "retrieve_model"))
_AUDIO_API = (*below("/audio", _AUDIO), *below("/models", _MODELS))

_NOT_AUDIO = (
    post("/audio/speech", ""),
    post("/chat/completions", ""),
    post("/completions", ""),
    post("/embeddings", ""),
    post("/responses", ""),
)
"""OpenAI's other endpoints that chat programs try. Not served."""

PATHS = DialectPaths(
    name="OpenAI",
    main_path="POST /v1/audio/transcriptions",
    prefixes=(
        Prefix("/v1", _AUDIO_API),
        Prefix("/v1/openai", _AUDIO_API),  # DeepInfra's.
        Prefix("/openai/v1", _AUDIO_API),  # Groq's, and Azure's since 2025.
        Prefix("/openai", _AUDIO_API),  # AzureOpenAI lists models here.
        Prefix("/openai/deployments/{model:path}", below("/audio", _AUDIO)),  # AzureOpenAI's.
        Prefix("/audio", _AUDIO),  # OpenAI's clients with a base URL without /v1.
        Prefix("/models", _MODELS),
    ),
    # openai-python shows no message of an error in another form.
    endings=(*_AUDIO_API, *_NOT_AUDIO),
)
