"""A prototype of the engine's loop on a GPU: groups of rows are replaced while others decode.

While rows decode, the next group's windows are encoded into spare slots, on the same stream or on one of lower
priority. The host launches a step before it reads the tokens of the last one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields

import torch
from torch.nn import functional as F

from bench.gpu.proposals import HAS_TRITON
from bench.gpu.proposals.choice import RowStates, begin_states
from bench.gpu.proposals.operations import step_operations
from bench.gpu.proposals.ragged_encoder import HiddenLayer, RaggedEncoder, exact_hidden, window_bounds
from bench.gpu.proposals.scenes import shape_rules
from bench.gpu.proposals.step import DecodeStep, allocate_caches, capture
from bench.gpu.proposals.weights import DecoderWeights, EncoderWeights
from bench.gpu.shapes import Shape

N_TOKENS = 110  # of half a minute of speech
N_READ = 4  # steps whose results may be on their way to the host


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """n_rows: that decode together. group: windows that are encoded, and rows that are replaced, together.

    overlaps: whether encoding has a stream of its own. looks_ahead: whether a step is launched before the last one
    is read. n_positions: of each window. n_tokens: of each text.
    """

    n_rows: int
    group: int = 8
    overlaps: bool = True
    looks_ahead: bool = True
    n_positions: int = 1_500
    n_tokens: int = N_TOKENS


class Pipeline:
    """Owns caches, graphs and streams for one set of options. On a GPU."""

    def __init__(
        self, shape: Shape, encoder: EncoderWeights, decoder: DecoderWeights, options: PipelineOptions, *,
        hidden: HiddenLayer = exact_hidden,
    ) -> None:  # fmt: skip
        self._options, self._decoder = options, decoder
        prompt = list(shape.prompt().tokens)
        self._n_prompt = len(prompt)
        self._caches = allocate_caches(
            decoder,
            n_slots=options.n_rows,
            n_windows=options.n_rows + 2 * options.group,
            max_tokens=options.n_tokens + 16,
            max_positions=options.n_positions,
        )
        self._state = begin_states(options.n_rows, prompt, device="cuda", max_tokens=options.n_tokens)
        self._state.min_tokens.fill_(options.n_tokens)
        self._state.lengths.fill_(options.n_positions)
        self._fresh = self._state.clone()
        rules = shape_rules(shape, device="cuda")
        self._step = DecodeStep(
            *(decoder, self._caches, self._state),
            flags=rules.flags,
            ids=rules.ids,
            operations=step_operations("triton" if HAS_TRITON else "torch"),
        )
        self._encoder = RaggedEncoder(encoder, hidden=hidden, uses_triton=True)
        size = (options.group, shape.config.num_mel_bins, 2 * options.n_positions)
        self._mels = torch.rand(size, pin_memory=True).half().pin_memory()
        self._input = torch.zeros(size, device="cuda", dtype=torch.float16)
        self._bounds = window_bounds([options.n_positions] * options.group, device="cuda")
        self._target = torch.arange(options.group, device="cuda") + options.n_rows
        # Spare slots: of the next group, and of the one after it.
        first = options.n_rows
        self._spare = [
            torch.arange(options.group, device="cuda") + first + index * options.group for index in range(2)
        ]
        self._decoding = torch.cuda.Stream(priority=-1)
        self._encoding = torch.cuda.Stream(priority=0) if options.overlaps else self._decoding
        self._step_graph = capture(self._step, stream=self._decoding)
        self._encoder_graph = capture(self._encode, stream=self._encoding, n_warm_up=1)
        self._state.copy_(self._fresh)
        self._results = [torch.zeros((options.n_rows, 2), pin_memory=True) for _ in range(N_READ)]
        self._read = [torch.cuda.Event() for _ in range(N_READ)]
        self.n_tokens_read = 0

    def _encode(self) -> None:
        """Encode the input and cache its keys and values in the target slots."""
        options, heads = self._options, self._decoder.n_heads
        features = self._encoder(list(self._input), self._bounds)
        for index, layer in enumerate(self._decoder.layers):
            found = F.linear(features, *layer.cross_kv)
            found = found.view(options.group, options.n_positions, 2, heads, -1).permute(2, 0, 3, 1, 4)
            self._caches.windows[index].index_copy_(1, self._target, found)

    def run(self, n_groups: int) -> float:
        """Decode groups of windows to their ends, one group after another; return the seconds taken.

        The rows are full from the beginning to the end, as in the middle of a long load.
        """
        options = self._options
        steps_a_group = (options.n_tokens + self._n_prompt - 1) * options.group / options.n_rows
        torch.cuda.synchronize()
        started = time.perf_counter()
        encoded = self._launch_encoder(0)
        n_replaced = n_steps = 0
        while n_steps < steps_a_group * n_groups:
            if n_replaced < n_groups and n_steps >= steps_a_group * n_replaced:
                encoded = self._replace(n_replaced, encoded)
                n_replaced += 1
            self._launch_step(n_steps)
            n_steps += 1
            if not options.looks_ahead:
                self._take(n_steps - 1)
            elif n_steps > 1:
                self._take(n_steps - 2)
        torch.cuda.synchronize()
        return time.perf_counter() - started

    def _launch_encoder(self, number: int) -> torch.cuda.Event:
        """Start encoding a group; return the event of its end."""
        with torch.cuda.stream(self._encoding):
            self._target.copy_(self._spare[number % 2])
            self._input.copy_(self._mels, non_blocking=True)
            self._encoder_graph.replay()
            event = torch.cuda.Event()
            event.record()
        return event

    def _replace(self, number: int, encoded: torch.cuda.Event) -> torch.cuda.Event:
        """Give a group of rows the windows just encoded, and start encoding the next ones."""
        options = self._options
        first = number * options.group % options.n_rows
        rows = slice(first, first + options.group)
        spare = self._spare[number % 2]
        with torch.cuda.stream(self._decoding):
            self._decoding.wait_event(encoded)
            freed = self._state.windows[rows].clone()
            for field in fields(RowStates):
                if field.name not in ("slots", "windows", "results"):
                    getattr(self._state, field.name)[rows].copy_(getattr(self._fresh, field.name)[rows])
            self._state.windows[rows].copy_(spare)
            spare.copy_(freed)
            swapped = torch.cuda.Event()
            swapped.record()
        self._encoding.wait_event(swapped)
        return self._launch_encoder(number + 1)

    def _launch_step(self, number: int) -> None:
        place = number % N_READ
        with torch.cuda.stream(self._decoding):
            self._step_graph.replay()
            self._results[place].copy_(self._state.results, non_blocking=True)
            self._read[place].record()

    def _take(self, number: int) -> None:
        """Wait for a step's results, and read them as the engine would."""
        place = number % N_READ
        self._read[place].synchronize()
        self.n_tokens_read += sum(token >= 0 for token, _ in self._results[place].tolist())
