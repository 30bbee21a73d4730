"""A client program of the suite: its version, how it is installed, its script, and what the calls come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent
PYTHON = FOLDER / "python"
NODE = FOLDER / "node"

Source = Literal["test extra", "pypi", "npm"]
"""Where a client comes from: this project's test dependencies, or an environment of its own from PyPI or npm."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that the server refuses. kind: the class of the client's exception; message: a regular expression."""

    call: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """A script's calls, by what their results must have; a call may be in several.

    languages: (call, the language in the API's spelling).
    """

    transcripts: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    languages: tuple[tuple[str, str], ...] = ()
    translations: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """A client program.

    environment: names the lock file, python/<environment>.txt or node/<environment>/package-lock.json.
    script: what is run in it, in python/ or node/. calls: those that the tests of all clients check; a client may
    have tests of its own.
    """

    package: str
    version: str
    source: Source
    environment: str
    script: str
    calls: Calls = field(default_factory=Calls)

    def __str__(self) -> str:
        return f"{self.package}-{self.version}-{self.source}".replace(" ", "-")
