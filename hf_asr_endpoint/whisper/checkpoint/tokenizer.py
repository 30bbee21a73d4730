"""Token ids by name, and ids back to text."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.types import TASKS, Task

N_BYTES = 256  # how many values a byte has

_LANGUAGE_TOKEN = re.compile(r"<\|([a-z]{2,3})\|>")


class WhisperTokenizer:
    """The vocabulary: text tokens, then `eot` and other special tokens, then timestamps from `timestamp_begin`."""

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self.eot = self._id("<|endoftext|>")
        self.sot = self._id("<|startoftranscript|>")
        self.sot_prev = self._id("<|startofprev|>")
        self.no_timestamps = self._id("<|notimestamps|>")
        self.timestamp_begin = self.no_timestamps + 1
        self.task_tokens: dict[Task, int] = {task: self._id(f"<|{task}|>") for task in TASKS}
        self._bytes = _bytes_by_character()
        self.language_tokens: dict[str, int] = self._language_tokens()

    @classmethod
    def from_directory(cls, directory: Path) -> WhisperTokenizer:
        """Load any form of tokenizer that transformers reads.

        From tokenizer.json, where there is one that has all special tokens, it takes 0.1 s; through
        AutoTokenizer, whose answers are the same, 0.7 s with its import.
        """
        path = directory / "tokenizer.json"
        if path.is_file():
            backend = Tokenizer.from_file(str(path))
            backend.no_truncation()
            backend.no_padding()
            with contextlib.suppress(KeyError):
                return cls(backend)
        # Imported here, because hardly a checkpoint needs it.
        from transformers import AutoTokenizer
        from transformers.utils.logging import set_verbosity_error

        set_verbosity_error()
        return cls(AutoTokenizer.from_pretrained(directory).backend_tokenizer)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the text tokens among `tokens`; special and timestamp tokens are left out."""
        text: str = self._backend.decode(
            [token for token in tokens if token < self.eot], skip_special_tokens=False
        )
        return text

    def encode(self, text: str) -> list[int]:
        """Return the text tokens of plain text; what reads like a special token is left out."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return [token for token in encoding.ids if token < self.eot]

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of a text token, which need not be whole characters."""
        content = self._backend.id_to_token(token)
        if content is None:
            raise KeyError(token)
        return bytes(self._bytes[character] for character in content)

    def _id(self, content: str) -> int:
        token = self._backend.token_to_id(content)
        if token is None:
            raise KeyError(content)
        return int(token)

    def _language_tokens(self) -> dict[str, int]:
        added = self._backend.get_added_tokens_decoder()
        matches = ((_LANGUAGE_TOKEN.fullmatch(token.content), token_id) for token_id, token in added.items())
        return {match[1]: token_id for match, token_id in matches if match and match[1] in LANGUAGE_NAMES}


def _bytes_by_character() -> dict[str, int]:
    """Return what the vocabulary's characters stand for (GPT-2's byte-level encoding).

    Printable bytes of Latin-1 stand for themselves; for the others, in order, there are characters beyond it.
    """
    characters = sorted(ByteLevel.alphabet())
    found = {character: ord(character) for character in characters if ord(character) < N_BYTES}
    others = (byte for byte in range(N_BYTES) if chr(byte) not in found)
    return found | dict(zip(characters[len(found) :], others, strict=True))
