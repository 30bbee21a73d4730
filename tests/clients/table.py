"""Every client program of the suite, and what its calls come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.clients.client import Calls, Client, Refusal, Source

UNKNOWN_MODEL = r"the model '(whisper|voxtral)-9' is not served here; allowed: openai/whisper-base"
UNKNOWN_DEPLOYMENT = UNKNOWN_MODEL.replace("model", "deployment", 1)
UNKNOWN_DEEPINFRA_MODEL = r"openai/whisper-9.*allowed: openai/whisper-base"
NO_AUDIO = "not audio"
WRONG_PATH = "/v2/audio/transcriptions.*/v1/audio/transcriptions"


def refusals(unknown_model: str, no_audio: str) -> tuple[Refusal, ...]:
    """Return those of nearly all clients, by the names of the client's exceptions; empty: no such call."""
    found = (
        Refusal("unknown_model", unknown_model, UNKNOWN_MODEL),
        Refusal("no_audio", no_audio, NO_AUDIO),
    )
    return tuple(refusal for refusal in found if refusal.kind)


OPENAI_1 = Calls(
    transcripts=(
        *("default", "bytes", "opened", "text", "verbose_json"),
        *("azure", "azure_v1", "doubled_slash", "without_v1"),
    ),
    segments=("verbose_json",),
    words=("verbose_json",),
    languages=(("verbose_json", "english"),),
    translations=("translation", "azure_translation"),
    streams=("stream", "asynchronous_stream"),
    models=("models",),
    refusals=(
        *refusals("NotFoundError", "BadRequestError"),
        Refusal("wrong_path", "NotFoundError", WRONG_PATH),
        Refusal("azure_unknown_deployment", "NotFoundError", UNKNOWN_DEPLOYMENT),
    ),
)
OPENAI = replace(OPENAI_1, transcripts=(*OPENAI_1.transcripts, "languages", "one_of_languages"))
GROQ = Calls(
    transcripts=("default", "documented", "verbose_json"),
    segments=("verbose_json",),
    words=("verbose_json",),
    languages=(("verbose_json", "english"),),
    translations=("translation",),
    models=("models",),
    refusals=refusals("NotFoundError", "BadRequestError"),
)
MISTRAL = Calls(
    transcripts=("default", "language", "segments"),
    segments=("segments",),
    languages=(("default", "en"),),
    refusals=refusals("SDKError", "SDKError"),
)
TOGETHER = Calls(
    transcripts=("default", "named", "verbose_json"),
    segments=("verbose_json",),
    words=("verbose_json",),
    translations=("translation",),
    refusals=refusals("NotFoundError", "BadRequestError"),
)
LITELLM = Calls(
    transcripts=(
        *("openai", "openai_verbose_json", "openai_words", "openai_text", "deepinfra", "deepinfra_verbose_json"),
        *("azure", "azure_verbose_json", "groq", "groq_verbose_json", "hosted_vllm", "hosted_vllm_verbose_json"),
    ),
    segments=(
        *("openai_verbose_json", "azure_verbose_json", "groq_verbose_json"),
        "hosted_vllm_verbose_json",
    ),
    words=("openai_words",),
    languages=(("openai_verbose_json", "english"),),
    refusals=(
        Refusal("openai_unknown_model", "NotFoundError", UNKNOWN_MODEL),
        *(
            Refusal(f"{provider}_no_audio", "BadRequestError", NO_AUDIO)
            for provider in ("openai", "deepinfra", "azure", "groq", "hosted_vllm")
        ),
    ),
)
LANGCHAIN = Calls(
    transcripts=("default", "language", "azure"),
    refusals=(Refusal("azure_no_audio", "BadRequestError", NO_AUDIO),),
)
LLAMA_INDEX = Calls(
    transcripts=("default", "bytes", "asynchronous"), refusals=refusals("NotFoundError", "BadRequestError")
)
HAYSTACK = Calls(
    transcripts=("default", "byte_stream", "language"), refusals=refusals("NotFoundError", "BadRequestError")
)
OPENAI_AGENTS = Calls(transcripts=("default", "language", "languages"), refusals=refusals("NotFoundError", ""))
HUGGINGFACE = Calls(transcripts=("default", "bytes", "chunks"), refusals=refusals("", "HfHubHTTPError"))
HUGGINGFACE_NODE = Calls(transcripts=("default", "typed", "model"), refusals=refusals("", "ProviderApiError"))
DEEPINFRA = Calls(
    transcripts=("default",),
    segments=("default",),
    languages=(("default", "en"),),
    translations=("translation",),
    refusals=(
        Refusal("unknown_model", "NotFoundError", UNKNOWN_DEEPINFRA_MODEL),
        Refusal("no_audio", "APIStatusError", NO_AUDIO),
    ),
)
AI_6 = Calls(
    transcripts=("openai", "openai_gpt", "openai_words", "openai_options", "groq", "groq_verbose_json"),
    # Without options of its own, version 6 asks for json, which has no segments.
    segments=("openai_words", "groq_verbose_json"),
    languages=(("openai_words", "en"),),
    refusals=(
        Refusal("openai_unknown_model", "AI_APICallError", UNKNOWN_MODEL),
        Refusal("openai_no_audio", "AI_APICallError", NO_AUDIO),
        Refusal("groq_unknown_model", "AI_APICallError", UNKNOWN_MODEL),
    ),
)
AI_7 = replace(AI_6, segments=("openai", *AI_6.segments), languages=(("openai", "en"),))

CLIENTS = (
    # package, version, source, environment, script, calls
    Client("openai", "3.57.0", "test extra", "", "openai_calls.py", OPENAI),
    Client("openai", "2.54.0", "pypi", "openai-2", "openai_calls.py", OPENAI),
    Client("openai", "1.109.1", "pypi", "openai-1", "openai_calls.py", OPENAI_1),
    Client("groq", "1.7.0", "pypi", "groq", "groq_calls.py", GROQ),
    Client("mistralai", "3.7.0", "pypi", "mistralai", "mistral_calls.py", MISTRAL),
    Client("together", "3.1.1", "pypi", "together", "together_calls.py", TOGETHER),
    Client("litellm", "1.110.2", "pypi", "litellm", "litellm_calls.py", LITELLM),
    Client("langchain-community", "0.4.2", "pypi", "langchain", "langchain_calls.py", LANGCHAIN),
    Client("llama-index-readers-whisper", "0.5.0", "pypi", "llama-index", "llama_index_calls.py", LLAMA_INDEX),
    Client("whisper-haystack", "2.0.0", "pypi", "haystack", "haystack_calls.py", HAYSTACK),
    Client("openai-agents", "0.24.0", "pypi", "openai-agents", "openai_agents_calls.py", OPENAI_AGENTS),
    Client("huggingface_hub", "2.4.0", "test extra", "", "huggingface_calls.py", HUGGINGFACE),
    Client("deepinfra", "0.3.0", "test extra", "", "deepinfra_calls.py", DEEPINFRA),
    Client("openai", "7.59.0", "npm", "openai-7", "openai_calls.mjs"),
    Client("openai", "6.49.0", "npm", "openai-6", "openai_calls.mjs"),
    Client("ai", "7.0.173", "npm", "ai-7", "ai_calls.mjs", AI_7),
    Client("ai", "6.0.325", "npm", "ai-6", "ai_calls.mjs", AI_6),
    Client("@huggingface/inference", "4.13.30", "npm", "huggingface", "huggingface_calls.mjs", HUGGINGFACE_NODE),
    Client("deepinfra", "2.0.2", "npm", "deepinfra", "deepinfra_calls.mjs"),
)


LIVE_CLIENTS = (
    Client("openai-agents", "0.24.0", "pypi", "openai-agents", "openai_agents_live.py"),
    Client("deepgram-sdk", "7.17.0", "pypi", "deepgram", "deepgram_live.py"),
    Client("livekit-plugins-openai", "1.8.9", "pypi", "livekit", "livekit_live.py"),
    Client("pipecat-ai", "1.14.0", "pypi", "pipecat", "pipecat_live.py"),
    Client("ai", "7.0.173", "npm", "ai-7", "ai_live.mjs"),
)
"""In live sessions. Their calls are in tests of their own."""


def find_client(package: str, major: int, source: Source) -> Client:
    """Return the row of a package with this major version."""
    (client,) = (
        client
        for client in CLIENTS
        if (client.package, client.source) == (package, source) and client.version.split(".")[0] == str(major)
    )
    return client


def case(client: Client, call: str, *expected: Any) -> Any:
    """Return a test's case. Clients that are installed for the suite run in `make test-clients` only."""
    marks = [] if client.source == "test extra" else [pytest.mark.clients]
    return pytest.param(client, call, *expected, marks=marks, id=f"{client}-{call}")


def cases(calls_of: Callable[[Calls], Iterable[str | tuple[str, ...]]]) -> list[Any]:
    """Return a case for each call of each client that `calls_of` selects, or for (call, expected…)."""
    return [
        case(client, *([selected] if isinstance(selected, str) else selected))
        for client in CLIENTS
        for selected in calls_of(client.calls)
    ]
