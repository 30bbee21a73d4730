from __future__ import annotations

import pytest

from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.errors import EngineUnavailable


def test_a_new_token_raises_nothing() -> None:
    CancellationToken().raise_if_cancelled()


def test_a_cancelled_token_raises_its_first_reason() -> None:
    token = CancellationToken()
    token.cancel(SHUTTING_DOWN)
    token.cancel("another reason")
    assert token.is_cancelled
    with pytest.raises(EngineUnavailable, match=f"^{SHUTTING_DOWN}$"):
        token.raise_if_cancelled()


def test_callbacks_run_once_when_the_token_is_cancelled() -> None:
    token, calls = CancellationToken(), []
    token.add_callback(lambda: calls.append("early"))
    assert calls == []
    token.cancel()
    token.cancel()
    assert calls == ["early"]
    token.add_callback(lambda: calls.append("late"))
    assert calls == ["early", "late"]
