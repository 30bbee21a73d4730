from __future__ import annotations

from collections.abc import Sequence

import pytest

from hf_asr_endpoint.whisper.decoding.draft import MAX_FED, SEARCHED, Draft

TEXT = tuple(range(100, 160))
TIMESTAMP = 999


def draft_behind(tokens: Sequence[int], *, is_expected: bool = True) -> Draft:
    """Return TEXT as the draft of a text that begins with `tokens`."""
    draft = Draft(TEXT, is_expected=is_expected)
    for token in tokens:
        draft.take(token)
    return draft


def test_a_text_that_begins_with_its_draft_goes_on_with_it() -> None:
    assert draft_behind([]).expected == TEXT[:MAX_FED]
    assert draft_behind(TEXT[:7]).expected == TEXT[7 : 7 + MAX_FED]


def test_nothing_is_expected_before_the_first_word_has_come() -> None:
    assert not draft_behind([], is_expected=False).expected
    assert not draft_behind([TIMESTAMP], is_expected=False).expected
    assert draft_behind([TIMESTAMP, TEXT[0]], is_expected=False).expected[0] == TEXT[1]


@pytest.mark.parametrize(
    ("tokens", "following"),
    [
        pytest.param([*TEXT[:5], TIMESTAMP, TIMESTAMP + 1], TEXT[5], id="timestamps"),
        pytest.param([*TEXT[:5], 1], TEXT[6], id="another word"),
        pytest.param([*TEXT[:5], 1, 2], TEXT[6], id="two words for one"),
        pytest.param([*TEXT[:5], *TEXT[7:8]], TEXT[8], id="missing words"),
        pytest.param([*TEXT[:5], TEXT[4]], TEXT[5], id="a repeated word"),
        pytest.param([*TEXT[:5], *TEXT[4 + SEARCHED : 5 + SEARCHED]], TEXT[5 + SEARCHED], id="many missing words"),
    ],
)
def test_behind_a_difference_two_words_of_the_draft_make_the_rest_expected(
    tokens: Sequence[int], following: int
) -> None:
    assert not draft_behind(tokens).expected
    again = TEXT[TEXT.index(following) : TEXT.index(following) + 2]
    draft = draft_behind([*tokens, *again])
    assert draft.expected[0] == again[-1] + 1


def test_a_text_that_is_another_one_has_nothing_expected() -> None:
    assert not draft_behind([TEXT[0], *range(500, 530)]).expected
    assert not draft_behind([*TEXT[:5], *TEXT[40:42]]).expected


def test_the_last_tokens_of_a_draft_are_left_to_steps() -> None:
    assert not draft_behind(TEXT[:-2]).expected
    assert not draft_behind([*TEXT, 1, 2]).expected
