"""Sequences that wait in a scheduler, and the steps that an engine would take with them."""

from __future__ import annotations

from hf_asr_endpoint.engine.scheduler import SHORT_REQUEST, Scheduler
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence, Status
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt

LONG = SHORT_REQUEST + 1


def make_sequence(request: Request, *, n_slots: int = 1) -> Sequence:
    attempt = Attempt(window=(), prompt=DecoderPrompt(tokens=(0,)), rules=AttemptRules(max_new_tokens=1))
    return Sequence(
        request=request,
        attempt=attempt,
        on_attempt=lambda state: None,
        on_end=lambda sequence: None,
        n_slots=n_slots,
    )


def submit(scheduler: Scheduler, request: Request, n: int, *, n_slots: int = 1) -> list[Sequence]:
    sequences = [make_sequence(request, n_slots=n_slots) for _ in range(n)]
    for sequence in sequences:
        scheduler.submit(sequence)
    return sequences


def admit_all(scheduler: Scheduler) -> list[Sequence]:
    admitted = []
    while (sequence := scheduler.admit()) is not None:
        admitted.append(sequence)
    return admitted


def end(scheduler: Scheduler, sequence: Sequence) -> None:
    """Take it out as the engine does."""
    scheduler.remove(sequence)
    sequence.end(Status.FINISHED)


def requests_of(sequences: list[Sequence]) -> list[Request]:
    return [sequence.request for sequence in sequences]
