"""The host's side of the rows: which of them run, what is sent to them, and what comes back, a step late.

A step is launched before the last one is read, so that the device never waits for the host. What a step decides
alone is right without the host: a row stops itself when its text ends, and the step after that finds it stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.device.accelerator import Accelerator, Event
from hf_asr_endpoint.whisper.device.graphs import StepGraphs
from hf_asr_endpoint.whisper.device.row_states import RowNumbers, RowStates, pack_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launched:
    """A step whose results are on their way. rows: those that ran, by slot."""

    rows: dict[int, DecodingState]
    results: Tensor
    arrived: Event


class RunningRows:
    """Runs rows by slot. Each state gets its token when the step's results are read."""

    def __init__(
        self, states: RowStates, graphs: StepGraphs, accelerator: Accelerator, *, eot: int, looks_ahead: bool
    ) -> None:
        """looks_ahead: whether a step is read only once the next one has been launched."""
        self._states, self._graphs, self._accelerator = states, graphs, accelerator
        self._eot, self._n_ahead = eot, int(looks_ahead)
        self._running: set[int] = set()
        """Slots whose rows are not stopped, as far as the host knows."""
        self._loads: dict[int, tuple[RowNumbers, tuple[int, ...]]] = {}
        self._stops: dict[int, bool] = {}
        self._launched: deque[_Launched] = deque()
        self._buffers = deque(accelerator.host_buffer(states.results) for _ in range(self._n_ahead + 1))

    def load(self, numbers: RowNumbers, prompt: tuple[int, ...] = ()) -> None:
        """Replace a row before the next step."""
        self._loads[numbers.slot] = numbers, prompt
        self._stops.pop(numbers.slot, None)
        if numbers.is_stopped:
            self._running.discard(numbers.slot)
        else:
            self._running.add(numbers.slot)

    def clear(self, slot: int) -> None:
        """Forget a slot's row, whatever it does."""
        self.load(RowNumbers(slot=slot))
        for launched in self._launched:
            launched.rows.pop(slot, None)

    def launch(self, rows: Mapping[int, DecodingState], *, n_others: int = 0) -> None:
        """Launch a step of these rows, which have been loaded; all others stay as they are.

        n_others: slots, from the first on, that the step must include: the host reads the logits of some.
        """
        self._run_only(set(rows))
        if not rows and not n_others:
            self.read_all()
            return
        self._send()
        self._graphs.run(max([slot + 1 for slot in rows] + [n_others]))
        buffer = self._buffers.popleft()
        arrived = self._accelerator.download(self._states.results, buffer)
        self._launched.append(_Launched(rows=dict(rows), results=buffer, arrived=arrived))
        self._read_down_to(self._n_ahead)

    def read_all(self) -> None:
        """Wait for everything that has been launched."""
        self._read_down_to(0)

    def _run_only(self, slots: set[int]) -> None:
        """Let rows run that were stopped by the last call, and the other way round.

        No row that runs again has ended unknown to the host: all steps that it was part of have been read.
        """
        for slot in self._running ^ slots:
            self._stops[slot] = slot not in slots
        self._running = slots

    def _send(self) -> None:
        if self._loads:
            numbers = [numbers for numbers, _ in self._loads.values()]
            prompts = {slot: prompt for slot, (_, prompt) in self._loads.items()}
            self._states.load_(self._accelerator.upload(pack_rows(numbers, prompts)))
            self._loads = {}
        if self._stops:
            packed = torch.tensor([list(self._stops), list(self._stops.values())], dtype=torch.int32)
            self._states.stop_(self._accelerator.upload(packed))
            self._stops = {}

    def _read_down_to(self, n_left: int) -> None:
        while len(self._launched) > n_left:
            launched = self._launched.popleft()
            launched.arrived.wait()
            results = launched.results.tolist()
            self._buffers.append(launched.results)
            for slot, state in launched.rows.items():
                token, logprob, no_speech_prob = results[slot]
                if no_speech_prob >= 0:
                    state.no_speech_prob = no_speech_prob
                if token >= 0:
                    state.append(int(token), logprob, eot=self._eot)
                    if state.is_finished:
                        self._running.discard(slot)
