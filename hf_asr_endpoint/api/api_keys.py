"""The API keys of a server: where they are read from, what they are called, and what they may take.

Requests are compared with digests of the keys. No key reaches a log or an answer.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hf_asr_endpoint.errors import InvalidSettings

MIN_KEY_CHARACTERS, MAX_KEY_CHARACTERS = 8, 256

_LENGTH = f"{{{MIN_KEY_CHARACTERS},{MAX_KEY_CHARACTERS}}}"
_KEY = re.compile(
    rf"(?P<name>[\w.-]{{1,64}}):(?P<named>[!-+\--~]{_LENGTH})|(?P<key>[!-+\--9;-~]{_LENGTH})", re.ASCII
)
_LIMIT = re.compile(r"(?P<name>requests|audio_s_per_minute)=(?P<value>[0-9]{1,9})", re.ASCII)


class Entry(NamedTuple):
    """A key as somebody wrote it. place: for messages, such as "line 3 of keys.txt"."""

    place: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """What the requests of one key may take; None: no limit of its own.

    requests: at a time. audio_s_per_minute: seconds of transcribed audio, on average.
    """

    requests: int | None = None
    audio_s_per_minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret.

    name: for the log. owner: whose jobs and audio these are: the name, or the secret's digest if there is none. A
    number would change when another key goes.
    """

    name: str
    owner: str
    limits: KeyLimits = field(default_factory=KeyLimits)


class ApiKeys:
    """The keys that may use the server."""

    def __init__(self, read: Callable[[], Iterable[Entry]]) -> None:
        """read: returns the entries, see `parse_entries`; called again by `reload`. Raises InvalidSettings."""
        self._read = read
        self._lock = threading.Lock()  # Of two reloads the later one must win.
        self._keys = parse_entries(read())

    def reload(self) -> int:
        """Read the keys again and return their number. Raises InvalidSettings, and then keeps those it has."""
        with self._lock:
            self._keys = parse_entries(self._read())
            return len(self._keys)

    def find(self, secret: str) -> ApiKey | None:
        """Return a key; None for an unknown one. Its time does not depend on how much of a secret is right."""
        digest, found = _digest(secret), None
        for known, key in self._keys.items():
            if hmac.compare_digest(known, digest):
                found = key
        return found


def parse_entries(entries: Iterable[Entry]) -> Mapping[bytes, ApiKey]:
    """Return keys by the digests of their secrets. An entry: `NAME:KEY` or `KEY`, and behind blanks its limits.

    Raises InvalidSettings if one is neither, if two are alike, or if there is none. Its message shows no key.
    """
    keys: dict[bytes, ApiKey] = {}
    for number, entry in enumerate(entries, 1):
        first, *limits = entry.text.split()
        found = _KEY.fullmatch(first)
        if not found:
            raise InvalidSettings(
                f"the API key in {entry.place} cannot be used; allowed: KEY or NAME:KEY, where a key is "
                f"{MIN_KEY_CHARACTERS} to {MAX_KEY_CHARACTERS} visible ASCII characters without a comma, and a "
                "name is letters, digits and . _ -; a key with a colon needs a name"
            )
        digest = _digest(found["named"] or found["key"])
        key = ApiKey(
            name=found["name"] or f"key-{number}",
            owner=found["name"] or digest.hex(),
            limits=_parse_limits(limits, place=entry.place),
        )
        if digest in keys or key.name in {other.name for other in keys.values()}:
            raise InvalidSettings(f"the API key in {entry.place}, or its name, is there twice; each needs its own")
        keys[digest] = key
    if not keys:
        raise InvalidSettings("there is no API key; give one, or unset HF_ASR_API_KEYS and HF_ASR_API_KEYS_FILE")
    return keys


def _parse_limits(texts: Iterable[str], *, place: str) -> KeyLimits:
    values: dict[str, int] = {}
    for text in texts:
        found = _LIMIT.fullmatch(text)
        if not found or not int(found["value"]) or found["name"] in values:
            raise InvalidSettings(
                f"what follows the API key in {place} cannot be used; allowed, once each and separated by blanks: "
                "requests=NUMBER and audio_s_per_minute=NUMBER, from 1 on"
            )
        values[found["name"]] = int(found["value"])
    return KeyLimits(**values)


def read_entries(variable: str | None, file: Path | None) -> list[Entry]:
    """Return the entries of the variable, between commas, and of the file, a line each; `#` begins a comment line.

    Raises InvalidSettings for a file that cannot be read.
    """
    texts = [] if variable is None else variable.split(",")
    entries = [Entry(f"HF_ASR_API_KEYS at position {number}", text) for number, text in enumerate(texts, 1)]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise InvalidSettings(f"the file of API keys {file} cannot be read: {exc}") from exc
        entries += [Entry(f"line {number} of {file}", line) for number, line in enumerate(lines, 1)]
    return [entry for entry in entries if entry.text.strip() and not entry.text.lstrip().startswith("#")]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
