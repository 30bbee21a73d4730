"""Engines on the same cores take turns."""

from __future__ import annotations

import threading
from collections import Counter

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.turns import Turns
from tests.fake_model import FakeSpeechModel
from tests.fakes import DEADLINE_S


def test_one_computes_at_a_time_and_nobody_waits_for_ever() -> None:
    """A plain lock goes to the thread that has just released it, again and again."""
    turns, n_each = Turns(), 200
    order: list[int] = []
    inside = threading.Semaphore(1)
    both_are_here = threading.Barrier(2)

    def compute(engine: int) -> None:
        both_are_here.wait(DEADLINE_S)
        for _ in range(n_each):
            with turns:
                assert inside.acquire(blocking=False), "two at once"
                order.append(engine)
                inside.release()

    threads = [threading.Thread(target=compute, args=(engine,)) for engine in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert Counter(order) == {0: n_each, 1: n_each}


def test_a_turn_ends_with_an_exception() -> None:
    turns = Turns()
    for _ in range(2):
        try:
            with turns:
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    with turns:
        pass


def test_an_engine_counts_as_busy_while_another_computes() -> None:
    """What prepares audio rests then, so that the one that computes has the cores."""
    turns = Turns()
    idle = Engine(FakeSpeechModel(n_slots=1), slots=1, turns=turns)
    assert not idle.is_busy
    with turns:
        assert idle.is_busy
    assert not idle.is_busy
