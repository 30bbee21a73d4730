"""Programs: calls of kernels that are the same each time, but for some numbers, and are launched together.

A launch from Python takes some 25 µs, and a decode step some 50 of them. Imports no numba.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_asr_endpoint.whisper.kernels.layout import COUNTER_OFFSET, Kernel

_LINE_WORDS = 8  # of a cache line


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A kernel and its data. variables: the names of numbers that differ each time, by their places in it."""

    kernel: Kernel
    data: Sequence[int]
    variables: Mapping[int, str] = field(default_factory=dict)


class Program:
    """Calls one after another. Used by one thread at a time. What is at the data's addresses must live as long."""

    def __init__(self, calls: Sequence[Call], *, launch: Kernel | None) -> None:
        """launch: the kernel `run_program`; None: each call is launched by itself."""
        width = max(len(call.data) for call in calls) + COUNTER_OFFSET + 1
        self._words = np.zeros((len(calls), -(-width // _LINE_WORDS) * _LINE_WORDS), np.int64)
        places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        counters = []
        for index, call in enumerate(calls):
            self._words[index, : len(call.data)] = call.data
            counters.append((index, len(call.data) + COUNTER_OFFSET))
            for word, name in call.variables.items():
                places[name].append((index, word))
        self._counters = _indices(counters)
        self._places = {name: _indices(of_name) for name, of_name in places.items()}
        self._kernels = [call.kernel for call in calls]
        self._table = np.array(
            [(call.kernel.address, words.ctypes.data) for call, words in zip(calls, self._words, strict=True)]
        )
        self._launch = launch
        self._launch_data = (self._table.ctypes.data, len(calls))

    def __call__(self, **values: int) -> None:
        """values: all variables."""
        for name, places in self._places.items():
            self._words[places] = values[name]
        self._words[self._counters] = 0
        if self._launch is not None:
            self._launch(self._launch_data)
            return
        for kernel, (_, data_at) in zip(self._kernels, self._table.tolist(), strict=True):
            kernel.run_at(data_at)


def _indices(places: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = zip(*places, strict=True)
    return np.array(rows), np.array(columns)
