"""Every client program of the suite: its exact version, how it is installed, and the script that is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent
PYTHON = FOLDER / "python"
NODE = FOLDER / "node"

Source = Literal["test extra", "pypi", "npm"]
"""Where a client comes from: this project's test dependencies, or an environment of its own from PyPI or npm."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client program.

    environment: names the lock file, python/<environment>.txt or node/<environment>/package-lock.json.
    script: what is run in it, in python/ or node/.
    """

    package: str
    version: str
    source: Source
    environment: str
    script: str

    def __str__(self) -> str:
        return f"{self.package}-{self.version}-{self.source}".replace(" ", "-")


CLIENTS = (
    # package, version, source, environment, script
    Client("openai", "3.57.0", "test extra", "", "openai_calls.py"),
    Client("openai", "2.54.0", "pypi", "openai-2", "openai_calls.py"),
    Client("openai", "1.109.1", "pypi", "openai-1", "openai_calls.py"),
    Client("groq", "1.7.0", "pypi", "groq", "groq_calls.py"),
    Client("mistralai", "3.7.0", "pypi", "mistralai", "mistral_calls.py"),
    Client("together", "3.1.1", "pypi", "together", "together_calls.py"),
    Client("litellm", "1.110.2", "pypi", "litellm", "litellm_calls.py"),
    Client("langchain-community", "0.4.2", "pypi", "langchain", "langchain_calls.py"),
    Client("llama-index-readers-whisper", "0.5.0", "pypi", "llama-index", "llama_index_calls.py"),
    Client("whisper-haystack", "2.0.0", "pypi", "haystack", "haystack_calls.py"),
    Client("openai-agents", "0.24.0", "pypi", "openai-agents", "openai_agents_calls.py"),
    Client("huggingface_hub", "2.4.0", "test extra", "", "huggingface_calls.py"),
    Client("deepinfra", "0.3.0", "test extra", "", "deepinfra_calls.py"),
    Client("openai", "7.59.0", "npm", "openai-7", "openai_calls.mjs"),
    Client("openai", "6.49.0", "npm", "openai-6", "openai_calls.mjs"),
    Client("ai", "7.0.173", "npm", "ai-7", "ai_calls.mjs"),
    Client("ai", "6.0.325", "npm", "ai-6", "ai_calls.mjs"),
    Client("@huggingface/inference", "4.13.30", "npm", "huggingface", "huggingface_calls.mjs"),
    Client("deepinfra", "2.0.2", "npm", "deepinfra", "deepinfra_calls.mjs"),
)


def find_client(package: str, major: int, source: Source) -> Client:
    """Return the row of a package with this major version."""
    (client,) = (
        client
        for client in CLIENTS
        if (client.package, client.source) == (package, source) and client.version.split(".")[0] == str(major)
    )
    return client
