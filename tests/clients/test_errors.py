"""What clients show when a request is wrong: the client's own exception, and a message that says what to do."""

from __future__ import annotations

import re

import pytest

from tests.clients.conftest import OutcomesOf
from tests.clients.rows import (
    AI,
    DEEPINFRA,
    GROQ,
    HAYSTACK,
    HUGGINGFACE,
    HUGGINGFACE_NODE,
    LANGCHAIN,
    LITELLM,
    LLAMA_INDEX,
    MISTRAL,
    OPENAI_AGENTS,
    OPENAI_PYTHON,
    TOGETHER,
    row,
)
from tests.clients.table import Client

UNKNOWN_MODEL = r"the model '(whisper|voxtral)-9' is not served here; allowed: openai/whisper-base"
UNKNOWN_DEPLOYMENT = UNKNOWN_MODEL.replace("model", "deployment", 1)
UNKNOWN_DEEPINFRA_MODEL = r"openai/whisper-9.*allowed: openai/whisper-base"
NO_AUDIO = "not audio"
WRONG_PATH = "/v2/audio/transcriptions.*/v1/audio/transcriptions"

ERRORS = [
    *[row(client, "unknown_model", "NotFoundError", UNKNOWN_MODEL) for client in OPENAI_PYTHON],
    *[row(client, "no_audio", "BadRequestError", NO_AUDIO) for client in OPENAI_PYTHON],
    *[row(client, "wrong_path", "NotFoundError", WRONG_PATH) for client in OPENAI_PYTHON],
    *[row(client, "azure_unknown_deployment", "NotFoundError", UNKNOWN_DEPLOYMENT) for client in OPENAI_PYTHON],
    row(GROQ, "unknown_model", "NotFoundError", UNKNOWN_MODEL),
    row(GROQ, "no_audio", "BadRequestError", NO_AUDIO),
    row(MISTRAL, "unknown_model", "SDKError", UNKNOWN_MODEL),
    row(MISTRAL, "no_audio", "SDKError", NO_AUDIO),
    row(TOGETHER, "unknown_model", "NotFoundError", UNKNOWN_MODEL),
    row(TOGETHER, "no_audio", "BadRequestError", NO_AUDIO),
    row(LITELLM, "openai_unknown_model", "NotFoundError", UNKNOWN_MODEL),
    row(LITELLM, "openai_no_audio", "BadRequestError", NO_AUDIO),
    row(LITELLM, "deepinfra_no_audio", "BadRequestError", NO_AUDIO),
    *[
        row(LITELLM, f"{provider}_no_audio", "BadRequestError", NO_AUDIO)
        for provider in ("azure", "groq", "hosted_vllm")
    ],
    row(LANGCHAIN, "azure_no_audio", "BadRequestError", NO_AUDIO),
    row(LLAMA_INDEX, "unknown_model", "NotFoundError", UNKNOWN_MODEL),
    row(LLAMA_INDEX, "no_audio", "BadRequestError", NO_AUDIO),
    row(HAYSTACK, "unknown_model", "NotFoundError", UNKNOWN_MODEL),
    row(HAYSTACK, "no_audio", "BadRequestError", NO_AUDIO),
    row(OPENAI_AGENTS, "unknown_model", "NotFoundError", UNKNOWN_MODEL),
    row(HUGGINGFACE, "no_audio", "HfHubHTTPError", NO_AUDIO),
    row(HUGGINGFACE_NODE, "no_audio", "ProviderApiError", NO_AUDIO),
    row(DEEPINFRA, "unknown_model", "NotFoundError", UNKNOWN_DEEPINFRA_MODEL),
    row(DEEPINFRA, "no_audio", "APIStatusError", NO_AUDIO),
    *[row(client, "openai_unknown_model", "AI_APICallError", UNKNOWN_MODEL) for client in AI],
    *[row(client, "openai_no_audio", "AI_APICallError", NO_AUDIO) for client in AI],
    *[row(client, "groq_unknown_model", "AI_APICallError", UNKNOWN_MODEL) for client in AI],
]


@pytest.mark.parametrize(("client", "call", "kind", "message"), ERRORS)
def test_a_wrong_request_is_the_clients_own_error(
    outcomes_of: OutcomesOf, client: Client, call: str, kind: str, message: str
) -> None:
    outcome = outcomes_of(client)[call]
    assert "error" in outcome, outcome
    assert outcome["error"]["class"] == kind
    assert re.search(message, outcome["error"]["message"], re.DOTALL)
