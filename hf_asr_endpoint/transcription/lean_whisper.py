"""transformers' Whisper with three things mended that get in the way of long recordings.

The overridden methods are private to transformers; they were read in version 5.23.0.
"""

from __future__ import annotations

import copy
from typing import Any

from transformers import WhisperForConditionalGeneration


class LeanWhisper(WhisperForConditionalGeneration):
    """Keeps no scores of finished windows, and lets one window's fallback leave the others alone."""

    @staticmethod
    def _retrieve_segment(*args: Any, **kwargs: Any) -> tuple[list[dict[str, Any]], int]:
        # Each segment holds its window's scores, 40 MB of them, until the recording ends.
        segments, segment_offset = WhisperForConditionalGeneration._retrieve_segment(*args, **kwargs)
        return [{**segment, "result": None} for segment in segments], segment_offset

    def generate_with_fallback(self, *args: Any, **kwargs: Any) -> Any:
        # A fallback sets the number of beams to 1 in a configuration that all later windows share.
        kwargs["generation_config"] = copy.copy(kwargs["generation_config"])
        return WhisperForConditionalGeneration.generate_with_fallback(self, *args, **kwargs)

    def _retrieve_logit_processors(self, *args: Any, **kwargs: Any) -> Any:
        # With beams, the detector of silence takes all scores for log-probabilities, also those of a
        # fallback, which are logits. As logits both are right: the softmax of a log-softmax is the softmax.
        kwargs["num_beams"] = 1
        return WhisperForConditionalGeneration._retrieve_logit_processors(self, *args, **kwargs)
