"""The seam between the engine and the model that it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan


class SpeechModel(Protocol):
    """Encodes windows into slots and chooses tokens for them. Called by one thread; may raise anything.

    A model may work behind the calls: `encode` may return while windows are being encoded, `prefill` before a
    state has its first token, and `decode_step` may bring each state the token of a step before, or none.
    """

    @property
    def is_encoding(self) -> bool:
        """Whether windows are still being encoded; False where `encode` does not return before they are."""
        ...

    def encode(
        self, windows: Mapping[int, Any], *, spans: Mapping[int, Sequence[PositionSpan]]
    ) -> Mapping[int, Sequence[LanguageScores]]:
        """Encode windows, by slot, and replace what the slots held. Slots with the same window object share it.

        spans: parts of windows whose language is asked for, by first slot. Returns the scores of each, by slot.
        """
        ...

    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        """Feed the prompts of new states, by slot. Sets no_speech_prob and the first token of each, now or later.

        All states of a beam or contrastive search are in the same call, here and in `decode_step`.
        """
        ...

    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        """Choose the next token of each state, by slot, now or later."""
        ...

    def align(self, texts: Mapping[int, AlignmentInput]) -> Mapping[int, Any]:
        """Return the alignment of each text with the window in its slot, by slot.

        Overwrites the slots' self-attention cache: their decoding must have ended.
        """
        ...

    def free(self, slot: int) -> None:
        """Release what a slot holds."""
        ...
