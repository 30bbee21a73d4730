from __future__ import annotations

import random

from hf_asr_endpoint.transcription.segment_order import InOrder


def test_segments_of_the_first_chunk_pass_at_once() -> None:
    in_order: InOrder = InOrder()
    assert list(in_order.push(0, ["a"], is_done=False)) == ["a"]
    assert list(in_order.push(0, ["b"], is_done=True)) == ["b"]


def test_later_chunks_wait_for_earlier_ones() -> None:
    in_order: InOrder = InOrder()
    assert list(in_order.push(2, ["e"], is_done=True)) == []
    assert list(in_order.push(1, ["c"], is_done=False)) == []
    assert list(in_order.push(0, ["a", "b"], is_done=True)) == ["a", "b", "c"]
    assert list(in_order.push(1, ["d"], is_done=True)) == ["d", "e"]


def test_a_chunk_may_have_no_segments() -> None:
    in_order: InOrder = InOrder()
    assert list(in_order.push(1, [], is_done=True)) == []
    assert list(in_order.push(0, [], is_done=True)) == []
    assert list(in_order.push(2, ["a"], is_done=True)) == ["a"]


def test_segments_are_in_order_whatever_order_chunks_end_in() -> None:
    rng = random.Random(0)
    for _ in range(200):
        left = {source: rng.randrange(4) for source in range(6)}
        in_order: InOrder = InOrder()
        seen: list[tuple[int, int]] = []
        taken = dict.fromkeys(left, 0)
        while left:
            source = rng.choice(sorted(left))
            is_done = taken[source] == left[source]
            items = [] if is_done else [(source, taken[source])]
            taken[source] += 1
            seen += in_order.push(source, items, is_done=is_done)
            if is_done:
                del left[source]
        assert seen == sorted(seen)
        assert len(seen) == sum(taken.values()) - len(taken)
