"""The seam between the engine and what it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.decoding.state import DecodingState


class SpeechModel(Protocol):
    """Encodes windows into slots and chooses tokens for them. Called by one thread; may raise anything."""

    def encode(self, windows: Mapping[int, Any]) -> None:
        """Encode windows, by slot, in place of what was there. Slots that are given the same one share it."""
        ...

    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        """Decode the prompts of new states, by slot: language, no_speech_prob and the first token of each.

        Those of a search come together, in all calls.
        """
        ...

    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        """Choose the next token of each state, by slot."""
        ...

    def align(self, texts: Mapping[int, AlignmentInput]) -> Mapping[int, Any]:
        """Return, by slot, what tells where in its window each token of a text is.

        No state goes on in those slots.
        """
        ...

    def free(self, slot: int) -> None:
        """Forget what is in a slot."""
        ...
