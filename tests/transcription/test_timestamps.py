from __future__ import annotations

import pytest

from hf_asr_endpoint.transcription.segments import TimedWindow, split_at_timestamps

BEGIN = 100


def at(seconds: float) -> int:
    """Return the timestamp token."""
    return BEGIN + round(seconds / 0.02)


def split(*tokens: int, window_s: float = 30.0) -> TimedWindow:
    return split_at_timestamps(tokens, timestamp_begin=BEGIN, window_s=window_s)


def spans(window: TimedWindow) -> list[tuple[float, float, list[int]]]:
    """Return start, end and text tokens of the finished segments."""
    return [
        (
            pytest.approx(timed.start),
            pytest.approx(timed.end),
            [token for token in timed.tokens if token < BEGIN],
        )
        for timed in window.segments
    ]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([at(0)], [], id="only a beginning"),
        pytest.param([at(0), 1, 2, at(3)], [(0, 3, [1, 2])], id="one segment"),
        pytest.param([at(1.5), 1, at(3)], [(1.5, 3, [1])], id="begun later"),
        pytest.param([at(0), 1, at(3), at(3), 2, at(5.02)], [(0, 3, [1]), (3, 5.02, [2])], id="two, side by side"),
        pytest.param([at(0), 1, at(3), at(4), 2, at(5)], [(0, 3, [1]), (4, 5, [2])], id="two with a pause"),
        pytest.param([at(0), 1, at(3), 2, at(5)], [(0, 3, [1]), (3, 5, [2])], id="no second beginning"),
        pytest.param([1, at(3)], [(0, 3, [1])], id="no beginning at all"),
        pytest.param([at(0), 1, at(3), at(3)], [(0, 3, [1])], id="a beginning at the end"),
        pytest.param([at(4), 1, at(3)], [(4, 4, [1])], id="back in time"),
        pytest.param([at(0), at(2), 1, at(3)], [(2, 3, [1])], id="two beginnings"),
    ],
)
def test_segments_are_the_text_between_timestamps(
    tokens: list[int], expected: list[tuple[float, float, list[int]]]
) -> None:
    window = split(*tokens)
    assert spans(window) == expected
    assert window.unfinished is None
    assert window.end_s == (pytest.approx(expected[-1][1]) if expected else 0.0)


@pytest.mark.parametrize(
    ("tokens", "start"),
    [
        pytest.param([at(0), 1, at(3), at(4), 2, 3], 4.0, id="begun"),
        pytest.param([at(0), 1, at(3), 2, 3], 3.0, id="not begun"),
    ],
)
def test_text_without_an_end_is_unfinished(tokens: list[int], start: float) -> None:
    window = split(*tokens, window_s=12.5)
    assert spans(window) == [(0, 3, [1])]
    assert window.end_s == pytest.approx(3.0)
    assert window.unfinished is not None
    assert (window.unfinished.start, window.unfinished.end) == (pytest.approx(start), 12.5)
    assert [token for token in window.unfinished.tokens if token < BEGIN] == [2, 3]


def test_text_without_timestamps_is_unfinished_and_spans_the_window() -> None:
    window = split(1, 2, window_s=9.0)
    assert (window.segments, window.end_s) == ((), 0.0)
    assert window.unfinished is not None
    assert (window.unfinished.start, window.unfinished.end, window.unfinished.tokens) == (0.0, 9.0, (1, 2))


def test_times_do_not_lie_in_the_padding() -> None:
    window = split(at(1), 1, at(8), at(9), 2, at(10), window_s=7.5)
    assert spans(window) == [(1, 7.5, [1]), (7.5, 7.5, [2])]


def test_no_token_is_lost_or_doubled() -> None:
    tokens = (at(0), 1, 2, at(3), at(4), 3, at(5), at(5), 4)
    window = split(*tokens)
    assert window.unfinished is not None
    pieces = [*window.segments, window.unfinished]
    assert tuple(token for timed in pieces for token in timed.tokens) == tokens


def test_shifting_moves_times_only() -> None:
    (timed,) = split(at(1), 1, at(2)).segments
    moved = timed.shifted(60.0)
    assert (moved.start, moved.end, moved.tokens) == (pytest.approx(61), pytest.approx(62), timed.tokens)
