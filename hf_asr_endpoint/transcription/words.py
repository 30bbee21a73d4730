"""Words with the times of their tokens, corrected by where nobody speaks.

Times are seconds from the window's beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from hf_asr_endpoint.transcription.word_split import WordTokens
from hf_asr_endpoint.types import Word
from hf_asr_endpoint.whisper.alignment.timing import TimedToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Between two stretches of speech."""

    start: float
    end: float


def time_words(words: Sequence[WordTokens], tokens: Sequence[TimedToken], pauses: Sequence[Pause]) -> list[Word]:
    """Return the words of a window's text: start <= end, and none starts before another's end.

    words: their ranges count in `tokens`. A word lasts until its punctuation or the next word begins, and its
    probability is the mean of its tokens', punctuation left out, as in openai/whisper. In place of the rules
    by which that shortens words beside a pause that are too long, a pause itself is what no word reaches into.
    """
    starts = [tokens[word.spoken.start].start for word in words]
    ends = [tokens[word.spoken.stop - 1].end for word in words]
    for index in range(1, len(words)):
        # What is certain is where the attention was; it often moves on to the next word before that is spoken.
        earliest = tokens[words[index - 1].spoken.stop - 1].peak
        latest = tokens[words[index].spoken.start].peak
        between = [pause for pause in pauses if earliest < (pause.start + pause.end) / 2 < latest]
        if between:
            ends[index - 1] = max(min(ends[index - 1], between[0].start), starts[index - 1])
            starts[index] = min(max(starts[index], between[-1].end), ends[index])
    return [
        Word(
            word=word.text,
            start=start,
            end=end,
            probability=fmean(tokens[index].probability for index in word.spoken),
        )
        for word, start, end in zip(words, starts, ends, strict=True)
    ]
