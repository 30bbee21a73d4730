"""What clients show when a request is wrong: the client's own exception, and a message that says what to do."""

from __future__ import annotations

import re

import pytest

from tests.clients.client import Client
from tests.clients.conftest import OutcomesOf
from tests.clients.table import cases


@pytest.mark.parametrize(
    ("client", "call", "kind", "message"),
    cases(lambda calls: [(refusal.call, refusal.kind, refusal.message) for refusal in calls.refusals]),
)
def test_a_wrong_request_is_the_clients_own_error(
    outcomes_of: OutcomesOf, client: Client, call: str, kind: str, message: str
) -> None:
    outcome = outcomes_of(client)[call]
    assert "error" in outcome, outcome
    assert outcome["error"]["class"] == kind
    assert re.search(message, outcome["error"]["message"], re.DOTALL)
