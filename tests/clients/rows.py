"""Rows of the suite's tables: a client, one of its calls, and what the server lacks for it, if anything."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.table import Client, find_client

OPENAI_3 = find_client("openai", 3, "test extra")
OPENAI_2 = find_client("openai", 2, "pypi")
OPENAI_1 = find_client("openai", 1, "pypi")
GROQ = find_client("groq", 1, "pypi")
MISTRAL = find_client("mistralai", 3, "pypi")
TOGETHER = find_client("together", 3, "pypi")
LITELLM = find_client("litellm", 1, "pypi")
LANGCHAIN = find_client("langchain-community", 0, "pypi")
LLAMA_INDEX = find_client("llama-index-readers-whisper", 0, "pypi")
HAYSTACK = find_client("whisper-haystack", 2, "pypi")
OPENAI_AGENTS = find_client("openai-agents", 0, "pypi")
HUGGINGFACE = find_client("huggingface_hub", 2, "test extra")
DEEPINFRA = find_client("deepinfra", 0, "test extra")
AI_7 = find_client("ai", 7, "npm")
AI_6 = find_client("ai", 6, "npm")
HUGGINGFACE_NODE = find_client("@huggingface/inference", 4, "npm")

OPENAI_PYTHON = (OPENAI_3, OPENAI_2, OPENAI_1)
AI = (AI_7, AI_6)

LANGUAGES = "item 1: `languages` is refused"
PATHS = "item 2: the path is unknown, or its error is not in OpenAI's form"
NO_MODEL = "item 3: a request without `model` is refused"
DIARIZE = "item 3: `diarize=false` is refused"
X_GROQ = "items 2 and 4: the path /openai/v1 is unknown, and its answers need `x_groq`"
WORD_LENGTH = "item 12: a word has no length"
INCLUDE = "item 3: `include=logprobs` with verbose_json is refused"


def row(client: Client, call: str, *expected: Any, waits_for: str = "") -> Any:
    """Return a row. Clients that are installed for the suite run in `make test-clients` only."""
    marks = [] if client.source == "test extra" else [pytest.mark.clients]
    if waits_for:
        marks.append(pytest.mark.xfail(reason=waits_for, strict=True))
    return pytest.param(client, call, *expected, marks=marks, id=f"{client}-{call}")
