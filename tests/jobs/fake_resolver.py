"""A Resolver whose answers the test sets."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from hf_asr_endpoint.jobs.addresses import IPAddress


class FakeResolver:
    """answers: the addresses for each lookup; the last answer is repeated. An empty one is an unknown host."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.n_lookups = 0

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        self.n_lookups += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not answer:
            raise OSError("Name or service not known")
        return [ipaddress.ip_address(text) for text in answer]

    def close(self) -> None:
        """There is nothing to close."""
