"""Whisper's vocabulary: ids of special tokens by name, text to tokens and tokens to text.

Knows nothing of prompts, of times or of decoding rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.types import TASKS, Task

N_BYTE_VALUES = 256

EOT, SOT, SOT_PREV = "<|endoftext|>", "<|startoftranscript|>", "<|startofprev|>"
NO_TIMESTAMPS = "<|notimestamps|>"
REQUIRED_TOKENS = (EOT, SOT, SOT_PREV, NO_TIMESTAMPS, *(f"<|{task}|>" for task in TASKS))

_LANGUAGE_TOKEN = re.compile(r"<\|([a-z]{2,3})\|>")
_SURROGATE = re.compile("[\ud800-\udfff]")


class WhisperTokenizer:
    """Text tokens come first in the vocabulary, then `eot` and other special tokens, then timestamps.

    timestamp_begin: the token of 0.00 s. language_tokens: by Whisper's language code.
    """

    def __init__(self, backend: Tokenizer) -> None:
        """Raises ValueError when `backend` lacks special tokens that every Whisper vocabulary has."""
        ids = _required_ids(backend)
        if missing := [content for content in REQUIRED_TOKENS if content not in ids]:
            raise ValueError(f"the tokenizer lacks the special tokens {', '.join(missing)}")
        self._backend = backend
        self.eot = ids[EOT]
        self.sot = ids[SOT]
        self.sot_prev = ids[SOT_PREV]
        self.no_timestamps = ids[NO_TIMESTAMPS]
        self.timestamp_begin = self.no_timestamps + 1
        self.task_tokens: dict[Task, int] = {task: ids[f"<|{task}|>"] for task in TASKS}
        self.language_tokens: dict[str, int] = self._language_tokens()
        self._byte_values = _byte_values()

    @classmethod
    def from_directory(cls, directory: Path) -> WhisperTokenizer:
        """Load any form of tokenizer that transformers reads.

        tokenizer.json alone takes 0.1 s. AutoTokenizer gives the same tokens but takes 0.7 s with its import, so
        it is used only when that file is missing or lacks special tokens, which may be in other files.
        Raises ValueError and the libraries' own errors for files that are damaged or missing.
        """
        backend = _load_backend(directory)
        # Fine-tuning may leave the length of its batches in the files.
        backend.no_truncation()
        backend.no_padding()
        return cls(backend)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the text tokens among `tokens`; special and timestamp tokens are left out."""
        text: str = self._backend.decode(
            [token for token in tokens if token < self.eot], skip_special_tokens=False
        )
        return text

    def encode(self, text: str) -> list[int]:
        """Return the text tokens of `text`; substrings that are written like special tokens are left out.

        Raises InvalidParameter for lone surrogates, which JSON can contain ("\\ud800") but UTF-8 cannot.
        """
        if found := _SURROGATE.search(text):
            raise InvalidParameter(
                f"the text has the lone surrogate U+{ord(found[0]):04X}; allowed: text that UTF-8 can encode"
            )
        encoding = self._backend.encode(text, add_special_tokens=False)
        return [token for token in encoding.ids if token < self.eot]

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of a text token, which may begin or end inside a UTF-8 character.

        Raises KeyError for a token that the vocabulary does not have.
        """
        content = self._backend.id_to_token(token)
        if content is None:
            raise KeyError(token)
        return bytes(self._byte_values[character] for character in content)

    def _language_tokens(self) -> dict[str, int]:
        added = self._backend.get_added_tokens_decoder()
        matches = ((_LANGUAGE_TOKEN.fullmatch(token.content), token_id) for token_id, token in added.items())
        return {match[1]: token_id for match, token_id in matches if match and match[1] in LANGUAGE_NAMES}


def _load_backend(directory: Path) -> Tokenizer:
    path = directory / "tokenizer.json"
    if path.is_file():
        backend = Tokenizer.from_buffer(path.read_bytes())
        if len(_required_ids(backend)) == len(REQUIRED_TOKENS):
            return backend
    # Imported here because the import is slow and few checkpoints need it.
    from transformers import AutoTokenizer
    from transformers.utils.logging import set_verbosity_error

    set_verbosity_error()
    return AutoTokenizer.from_pretrained(directory).backend_tokenizer


def _required_ids(backend: Tokenizer) -> dict[str, int]:
    """Return the ids of those REQUIRED_TOKENS that the vocabulary has."""
    ids = ((content, backend.token_to_id(content)) for content in REQUIRED_TOKENS)
    return {content: token for content, token in ids if token is not None}


def _byte_values() -> dict[str, int]:
    """Return the byte that each character of the vocabulary stands for (GPT-2's byte-level encoding).

    Printable bytes of Latin-1 stand for themselves; the other bytes, in order, have characters after Latin-1.
    """
    characters = sorted(ByteLevel.alphabet())
    found = {character: ord(character) for character in characters if ord(character) < N_BYTE_VALUES}
    others = (byte for byte in range(N_BYTE_VALUES) if chr(byte) not in found)
    return found | dict(zip(characters[len(found) :], others, strict=True))
