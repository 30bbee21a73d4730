"""Which language each passage is in, by scores that are written here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest

from hf_asr_endpoint.audio.chunking import SpeechSpan
from hf_asr_endpoint.transcription.passages import (
    MIN_PART_S,
    Passage,
    RecordingLanguages,
    Vote,
    positions,
    split_parts,
)
from hf_asr_endpoint.units import N_POSITIONS
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan

DE, EN, FR = 1, 2, 3
NOT_SPEECH = 0.9  # probability of no speech


def vote(
    language: int, seconds: float, *, start_s: float = 0.0, sure: float = 0.98, no_speech_prob: float = 0.1
) -> Vote:
    """Return a part whose language has the probability `sure`; the other two share the rest."""
    return vote_of(
        {token: sure if token == language else (1 - sure) / 2 for token in (DE, EN, FR)},
        seconds,
        start_s=start_s,
        no_speech_prob=no_speech_prob,
    )


def vote_of(
    probabilities: dict[int, float], seconds: float, *, start_s: float = 0.0, no_speech_prob: float = 0.1
) -> Vote:
    logprobs = {token: math.log(probability) for token, probability in probabilities.items()}
    return Vote(
        part=SpeechSpan(start_s=start_s, end_s=start_s + seconds),
        scores=LanguageScores(logprobs=logprobs, no_speech_prob=no_speech_prob),
    )


def in_turn(*parts: tuple[int, float], pause_s: float = 1.0, no_speech: Sequence[int] = ()) -> list[Vote]:
    """Return parts of (language, seconds), with pauses between them. no_speech: the indices of tones."""
    votes, start_s = [], 0.0
    for index, (language, seconds) in enumerate(parts):
        probability = NOT_SPEECH if index in no_speech else 0.1
        votes.append(vote(language, seconds, start_s=start_s, no_speech_prob=probability))
        start_s += seconds + pause_s
    return votes


def recording(*, given: int | None = None, allowed: Sequence[int] = (DE, EN, FR)) -> RecordingLanguages:
    """Return the languages of a recording in which further passages are asked for."""
    return RecordingLanguages(given=given, allowed=allowed, is_detected=True, on_decided=lambda: None)


def of_chunk(main: int, votes: Sequence[Vote], *, allowed: Sequence[int] = (DE, EN, FR)) -> list[Passage]:
    return recording(given=main, allowed=allowed).chunk(votes).passages(duration_s=30.0)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        pytest.param([vote(DE, 8)], DE, id="one part"),
        pytest.param([vote(DE, 0.4)], DE, id="one short part"),
        pytest.param([vote(EN, 0.5), vote(DE, 20)], DE, id="one English word and 20 s of German"),
        pytest.param([vote(EN, 0.5), *[vote(DE, 4)] * 5], DE, id="the same, in parts"),
        pytest.param([vote(EN, 0.5)] * 3 + [vote(DE, 4)], DE, id="the longest time, not the most parts"),
        pytest.param([vote(FR, 4), vote(DE, 4), vote(FR, 4)], FR, id="the most of equal parts"),
        pytest.param([vote(EN, 5, sure=0.5), vote(DE, 5, sure=0.95)], DE, id="the surer of equal parts"),
        pytest.param(
            [vote(EN, 20, no_speech_prob=NOT_SPEECH), vote(DE, 2)], DE, id="a tone before speech does not vote"
        ),
        pytest.param([vote(EN, 20, no_speech_prob=NOT_SPEECH)], EN, id="a tone votes if there is nothing else"),
        pytest.param(
            [vote_of({DE: 0.999_999, EN: 1e-7, FR: 1e-6}, 5), *[vote(EN, 5, sure=0.97)] * 2],
            EN,
            id="one part that is far too sure does not outweigh two",
        ),
    ],
)
def test_the_recordings_language(votes: list[Vote], expected: int) -> None:
    languages = recording()
    languages.decide(votes)
    assert languages.main == expected
    assert languages.is_decided


@pytest.mark.parametrize("sure", [0.4, 0.7, 0.97])
def test_the_probability_of_one_part_is_the_models_own(sure: float) -> None:
    languages = recording()
    languages.decide([vote(DE, 3, sure=sure)])
    assert languages.probability == pytest.approx(sure, abs=2e-3)


def test_parts_that_disagree_make_the_language_less_certain() -> None:
    agreed, disputed = recording(), recording()
    agreed.decide([vote(DE, 5)] * 3)
    disputed.decide([vote(DE, 5), vote(DE, 5), vote(EN, 5)])
    assert disputed.main == DE
    assert agreed.probability is not None
    assert disputed.probability is not None
    assert 0.5 < disputed.probability < agreed.probability < 1


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [((DE, EN, FR), FR), ((DE, EN), EN), ((DE,), DE)],
)
def test_only_allowed_languages_are_detected(allowed: tuple[int, ...], expected: int) -> None:
    probabilities = {DE: 0.1, EN: 0.2, FR: 0.7}
    languages = recording(allowed=allowed)
    languages.decide([vote_of(probabilities, 8)])
    assert languages.main == expected
    share = probabilities[expected] / sum(probabilities[token] for token in allowed)
    assert languages.probability == pytest.approx(share)


def test_a_passage_is_never_in_a_language_that_is_not_allowed() -> None:
    passages = of_chunk(DE, in_turn((DE, 8), (FR, 8)), allowed=(DE, EN))
    assert {passage.language_token for passage in passages} == {DE}


def test_the_language_is_decided_once() -> None:
    calls: list[int | None] = []
    languages = RecordingLanguages(
        given=None, allowed=(DE, EN), is_detected=True, on_decided=lambda: calls.append(languages.main)
    )
    assert not languages.is_decided
    languages.decide([vote(DE, 8)])
    languages.decide([vote(EN, 20)])
    assert (languages.main, calls) == (DE, [DE])


@pytest.mark.parametrize("given", [DE, None], ids=["the caller's language", "an English-only model"])
def test_what_is_not_detected_is_decided_from_the_beginning(given: int | None) -> None:
    calls: list[None] = []
    languages = RecordingLanguages(
        given=given, allowed=(DE, EN), is_detected=False, on_decided=lambda: calls.append(None)
    )
    assert languages.is_decided
    languages.decide([vote(EN, 20)])
    assert (languages.main, languages.probability, calls) == (given, None, [])


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        pytest.param(in_turn((DE, 8), (DE, 8)), [DE], id="one language"),
        pytest.param(in_turn((DE, 8), (EN, 1), (DE, 8)), [DE], id="a short odd part"),
        pytest.param(in_turn((EN, 1), (DE, 8)), [DE], id="a short odd part first"),
        pytest.param(in_turn((DE, 8), (EN, 1)), [DE], id="a short odd part last"),
        pytest.param(in_turn((DE, 8), (EN, 8)), [DE, EN], id="a long odd part"),
        pytest.param(in_turn((DE, 5), (EN, 5), (EN, 5), (DE, 5)), [DE, EN, DE], id="long odd parts, and back"),
        pytest.param(in_turn((DE, 5), (EN, 5), (FR, 5)), [DE, EN, FR], id="two changes"),
        pytest.param(in_turn((EN, 8)), [EN], id="a whole chunk in another language"),
        pytest.param(in_turn((EN, 1)), [DE], id="a whole chunk that is an odd word"),
        pytest.param(in_turn((EN, 5), (EN, 5), (DE, 8)), [EN, DE], id="long odd parts first"),
        pytest.param(in_turn((DE, 5), (EN, 8), no_speech=[1]), [DE], id="a tone does not switch"),
        pytest.param(in_turn((EN, 8), no_speech=[0]), [DE], id="a chunk that is a tone"),
    ],
)
def test_the_languages_of_a_german_recordings_chunk(votes: list[Vote], expected: list[int]) -> None:
    passages = of_chunk(DE, votes)
    assert [passage.language_token for passage in passages] == expected
    assert (passages[0].start_s, passages[-1].end_s) == (0.0, 30.0)
    for passage, following in itertools.pairwise(passages):
        assert passage.end_s == following.start_s, "no hole"
        assert not any(one.part.start_s < passage.end_s < one.part.end_s for one in votes), "cut in speech"


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([[(EN, 8)], [(EN, 1.5)]], [[EN], [EN]], id="a short chunk goes on in it"),
        pytest.param([[(EN, 8)], [(EN, 4), (DE, 8)]], [[EN], [EN, DE]], id="so do a chunk's first words"),
        pytest.param([[(DE, 8), (EN, 8)], [(EN, 1.5)]], [[DE, EN], [EN]], id="its last passage counts"),
        pytest.param([[(EN, 8)], [(DE, 1.5)]], [[EN], [DE]], id="the recording's language needs no more evidence"),
        pytest.param([[(EN, 8)], [(FR, 1.5)]], [[EN], [DE]], id="a third one does"),
        pytest.param([[(EN, 8)], [(DE, 8)], [(EN, 1.5)]], [[EN], [DE], [DE]], id="only the chunk before counts"),
    ],
)
def test_a_chunk_may_begin_in_the_language_of_the_one_before(
    chunks: list[list[tuple[int, float]]], expected: list[list[int]]
) -> None:
    languages = recording(given=DE)
    found = [languages.chunk(in_turn(*parts)).passages(duration_s=30.0) for parts in chunks]
    assert [[passage.language_token for passage in passages] for passages in found] == expected


@pytest.mark.parametrize(
    ("parts", "following", "expected"),
    [
        pytest.param([(DE, 8), (EN, 1)], [(EN, 8)], [DE, EN], id="the first word after the change"),
        pytest.param([(EN, 1)], [(EN, 8)], [EN], id="a whole chunk that is one"),
        pytest.param([(DE, 8), (EN, 1)], [(DE, 8)], [DE], id="an odd word"),
        pytest.param([(DE, 8), (EN, 1)], [(EN, 1)], [DE], id="two odd words"),
        pytest.param([(DE, 8), (EN, 1)], [], [DE], id="the recording's end"),
    ],
)
def test_a_chunk_with_an_open_end_may_end_in_the_language_of_the_one_after(
    parts: list[tuple[int, float]], following: list[tuple[int, float]], expected: list[int]
) -> None:
    chunk = recording(given=DE).chunk(in_turn(*parts))
    assert chunk.has_open_end
    passages = chunk.passages(duration_s=30.0, following=in_turn(*following))
    assert [passage.language_token for passage in passages] == expected
    assert passages[-1].end_s == 30.0


@pytest.mark.parametrize(
    "votes",
    [
        pytest.param(in_turn((DE, 8)), id="the recording's language"),
        pytest.param(in_turn((DE, 8), (EN, 8)), id="another one for certain"),
        pytest.param(in_turn((EN, 1), (DE, 8)), id="a doubtful beginning"),
        pytest.param(in_turn((DE, 8), (EN, 1), no_speech=[1]), id="a tone at the end"),
    ],
)
def test_what_is_certain_of_its_end_does_not_wait(votes: list[Vote]) -> None:
    assert not recording(given=DE).chunk(votes).has_open_end


@pytest.mark.parametrize("doubtful", [0.55, 0.7])
def test_a_doubtful_part_does_not_switch(doubtful: float) -> None:
    odd = vote(EN, 8, start_s=9, sure=doubtful)
    passages = of_chunk(DE, [vote(DE, 8), odd, vote(DE, 8, start_s=18)])
    assert [passage.language_token for passage in passages] == [DE]


def test_passages_meet_in_the_middle_of_the_pause() -> None:
    first, second = of_chunk(DE, [vote(DE, 8), vote(EN, 10, start_s=10)])
    assert first == Passage(language_token=DE, start_s=0.0, end_s=9.0)
    assert second == Passage(language_token=EN, start_s=9.0, end_s=30.0)


@pytest.mark.parametrize(
    ("speech", "expected"),
    [
        pytest.param([(0, 4)], [(0, 4)], id="one span"),
        pytest.param([(1, 1.5)], [(1, 1.5)], id="one short span"),
        pytest.param([(0, 4), (5, 9)], [(0, 4), (5, 9)], id="two long spans"),
        pytest.param([(0, 0.4), (2, 2.3), (4, 6)], [(0, 6)], id="short spans are joined"),
        pytest.param([(0, 0.5), (2, 2.6), (5, 9)], [(0, 2.6), (5, 9)], id="until there is enough speech"),
        pytest.param([(0, 4), (4.1, 8)], [(0, 8)], id="a change takes a pause"),
        pytest.param([(0, 0.5), (20, 22)], [(0, 22)], id="pauses are no speech"),
        pytest.param([(0, 4), (5, 5.5)], [(0, 4), (5, 5.5)], id="the last part may be short"),
        pytest.param([], [], id="no speech"),
    ],
)
def test_parts_of_a_chunk(speech: list[tuple[float, float]], expected: list[tuple[float, float]]) -> None:
    parts = split_parts([SpeechSpan(start_s=start, end_s=end) for start, end in speech])
    assert [(part.start_s, part.end_s) for part in parts] == expected
    assert all(part.end_s - part.start_s >= MIN_PART_S for part in parts[:-1])


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param((0.0, 2.0), (0, 100), id="50 a second"),
        pytest.param((1.01, 2.01), (50, 101), id="partly covered positions count"),
        pytest.param((0.0, 30.0), (0, N_POSITIONS), id="a whole window"),
        pytest.param((29.0, 31.0), (1_450, N_POSITIONS), id="past the window's end"),
        pytest.param((30.0, 30.5), (N_POSITIONS - 1, N_POSITIONS), id="behind the window"),
        pytest.param((5.0, 5.0), (250, 251), id="at least one"),
    ],
)
def test_positions_of_a_part(part: tuple[float, float], expected: tuple[int, int]) -> None:
    assert list(positions([SpeechSpan(start_s=part[0], end_s=part[1])])) == [PositionSpan(*expected)]
