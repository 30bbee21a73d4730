"""Which language each passage of a recording is in. Knows scores and seconds; knows no tensors and no text.

The first seconds of speech decide the recording's language. Where nobody has fixed it, each chunk is asked again,
part by part, and a passage is decoded in another language where that is clearly likelier than the recording's and
than that of the passage before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.units import N_POSITIONS, TIME_PRECISION_S
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan

ENOUGH_SPEECH_S = 10.0
"""Speech from which the recording's language is certain enough. Less decides only if there is no more."""
MIN_PART_S = 1.0
"""Seconds of speech: a shorter part says little about its language. With 3 s, the last words before a change of
language were often in one part with the first ones after it."""
MIN_PAUSE_S = 0.2  # Speakers and languages change at pauses.
FULL_WEIGHT_S = 5.0  # seconds of speech from which a part has full weight
MIN_EVIDENCE = 3.0  # nats by which another language must be likelier, over a passage
MAX_NO_SPEECH_PROB = 0.6  # as in openai/whisper: above it the part is a tone or music, which has no language
CERTAIN_LOGPROB = math.log(1e-3)  # A part cannot say more against a language than this: the model exaggerates.


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a chunk in one language, in seconds from the chunk's beginning.

    language_token: None for English-only models.
    """

    language_token: int | None
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A part of a chunk, in seconds from its beginning, and what the model says of it."""

    part: SpeechSpan
    scores: LanguageScores

    @property
    def counts(self) -> bool:
        return self.scores.no_speech_prob <= MAX_NO_SPEECH_PROB

    @property
    def weight(self) -> float:
        return min((self.part.end_s - self.part.start_s) / FULL_WEIGHT_S, 1.0)

    def logprob(self, token: int) -> float:
        return max(self.scores.logprobs[token], CERTAIN_LOGPROB)


class RecordingLanguages:
    """The languages of one recording. Decided once, by whichever thread has the scores."""

    def __init__(
        self, *, given: int | None, allowed: Iterable[int], is_detected: bool, on_decided: Callable[[], None]
    ) -> None:
        """given: the language token that the caller fixed. allowed: tokens that may be detected.

        is_detected: whether the language is to be detected. on_decided: called when it has been.
        """
        self._allowed = tuple(allowed)
        self._on_decided = on_decided
        self.is_detected = is_detected
        self.main = given
        """The recording's language token, once it is known."""
        self.probability: float | None = None
        """Of the detected language, among those allowed."""
        self._votes: list[Vote] = []  # kept until the language is decided
        self._latest: int | None = None  # language token of the last passage of the chunk before

    @property
    def is_decided(self) -> bool:
        return not self.is_detected or self.main is not None

    def keep(self, votes: Sequence[Vote]) -> None:
        """Keep the votes of a chunk that is not to decide alone."""
        self._votes.extend(votes)

    def decide(self, votes: Sequence[Vote] = ()) -> None:
        """Decide the recording's language by the parts of its first chunks, weighted by their length.

        votes: with those that were kept, at least one.
        """
        if self.is_decided:
            return
        votes = (*self._votes, *votes)
        counted = [vote for vote in votes if vote.counts] or votes
        total = sum(vote.weight for vote in counted)
        means = {
            token: sum(vote.weight * vote.logprob(token) for vote in counted) / total for token in self._allowed
        }
        best = max(means, key=lambda token: means[token])
        self.probability = 1 / sum(math.exp(mean - means[best]) for mean in means.values())
        self.main = best
        self._on_decided()

    def chunk(self, votes: Sequence[Vote]) -> ChunkLanguages:
        """Return the languages of a chunk. votes: of its parts, in order.

        Called for chunk after chunk, once the recording's language is decided: the engine answers in the order in
        which it was asked.
        """
        assert self.main is not None
        initial = frozenset({self.main, self.main if self._latest is None else self._latest})
        chunk = ChunkLanguages(votes=tuple(votes), main=self.main, initial=initial, allowed=self._allowed)
        self._latest = chunk.smooth()[-1]
        return chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLanguages:
    """The languages of one chunk. initial: tokens that it may begin in without evidence."""

    votes: tuple[Vote, ...]
    main: int
    initial: frozenset[int]
    allowed: tuple[int, ...]

    @property
    def has_open_end(self) -> bool:
        """Whether the last part may belong to the next chunk's language: it sounds like another than it is given.

        A word before a long pause is too short to change the language, and may be the first one after the change.
        """
        last = self.votes[-1]
        return last.counts and self._likeliest(last) != self.smooth()[-1]

    def passages(self, *, duration_s: float, following: Sequence[Vote] = ()) -> list[Passage]:
        """Return the passages, in order; they fill the chunk. following: votes of the chunk after it, if known."""
        passages = []
        start_s, index = 0.0, 0
        for language, group in groupby(self.smooth(following)):
            index += len(list(group))
            is_last = index == len(self.votes)
            end_s = duration_s if is_last else self._middle_of_pause(index)
            passages.append(Passage(language_token=language, start_s=start_s, end_s=end_s))
            start_s = end_s
        return passages

    def smooth(self, following: Sequence[Vote] = ()) -> list[int]:
        """Return each part's language: the likeliest sequence in which every change costs MIN_EVIDENCE (Viterbi).

        The chunk begins in the recording's language, or in that of the chunk before: a passage goes on across the
        cut, and what is short says too little to change the language by itself.
        """
        votes = (*self.votes, *following)
        candidates = self.initial | {self._likeliest(vote) for vote in votes if vote.counts}
        costs = {token: 0.0 if token in self.initial else MIN_EVIDENCE for token in candidates}
        origins: list[dict[int, int]] = []
        for vote in votes:
            cheapest = min(costs, key=lambda token: costs[token])
            origin = {
                token: token if costs[token] <= costs[cheapest] + MIN_EVIDENCE else cheapest for token in costs
            }
            costs = {
                token: min(costs[token], costs[cheapest] + MIN_EVIDENCE)
                - (vote.weight * vote.logprob(token) if vote.counts else 0.0)
                for token in costs
            }
            origins.append(origin)
        token = min(costs, key=lambda candidate: (costs[candidate], candidate != self.main))
        languages = [token]
        for origin in reversed(origins[1:]):
            token = origin[token]
            languages.append(token)
        return languages[::-1][: len(self.votes)]

    def _likeliest(self, vote: Vote) -> int:
        return max(self.allowed, key=vote.logprob)

    def _middle_of_pause(self, index: int) -> float:
        """Return the middle of the pause before a part, in seconds from the chunk's beginning."""
        return (self.votes[index - 1].part.end_s + self.votes[index].part.start_s) / 2


def split_parts(speech: Sequence[SpeechSpan]) -> list[SpeechSpan]:
    """Join a chunk's spans of speech to parts of at least MIN_PART_S of speech, where it is long enough."""
    parts: list[SpeechSpan] = []
    spoken_s = 0.0  # in the last part
    for span in speech:
        begins_part = not parts or (spoken_s >= MIN_PART_S and span.start_s - parts[-1].end_s >= MIN_PAUSE_S)
        if begins_part:
            parts.append(span)
            spoken_s = 0.0
        else:
            parts[-1] = SpeechSpan(start_s=parts[-1].start_s, end_s=span.end_s)
        spoken_s += span.end_s - span.start_s
    return parts


def positions(parts: Iterable[SpeechSpan]) -> Iterator[PositionSpan]:
    """Yield the encoder's positions of parts of a window."""
    for part in parts:
        begin = min(int(part.start_s / TIME_PRECISION_S), N_POSITIONS - 1)
        end = min(math.ceil(part.end_s / TIME_PRECISION_S), N_POSITIONS)
        yield PositionSpan(begin, max(end, begin + 1))
