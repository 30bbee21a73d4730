"""Rows of the suite's tables: a client, one of its calls, and what is expected."""

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


def row(client: Client, call: str, *expected: Any) -> Any:
    """Return a row. Clients that are installed for the suite run in `make test-clients` only."""
    marks = [] if client.source == "test extra" else [pytest.mark.clients]
    return pytest.param(client, call, *expected, marks=marks, id=f"{client}-{call}")
