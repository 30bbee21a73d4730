"""A GPU as a SpeechModel that only counts its time. It encodes beside the steps, as the model on a GPU does."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.gpu.shapes import Shape, encoder_flops, weight_bytes
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan

EOT = 50
KERNEL_S = 2e-6  # of a graph, beside its work
KERNELS_A_LAYER, OTHER_KERNELS = 9, 6
BATCH_S = 0.8e-3  # of a batch of windows, beside its products: H100, 5.45 ms for one window and 4.74 each for 8
STEP_ON_HOST_S = 0.1e-3  # the engine's own work: a step cannot be shorter


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """flop_per_s: of 16-bit products. bytes_per_s: read by a good kernel. overlap: 0, steps and encoding share the
    card's time; 1, each goes on as if it were alone.
    """

    name: str
    flop_per_s: float
    bytes_per_s: float
    overlap: float = 0.0

    def encoding_s(self, shape: Shape, positions: Sequence[int]) -> float:
        """positions: of the windows that are encoded together."""
        config = shape.config
        projections = 4 * config.d_model**2 * config.decoder_layers * sum(positions)
        return BATCH_S + (sum(encoder_flops(shape, n) for n in positions) + projections) / self.flop_per_s

    def step_s(self, shape: Shape, positions: Sequence[int]) -> float:
        """positions: of the rows' windows."""
        read = weight_bytes(shape)
        n_bytes = read["weights"] + read["window"] * sum(positions) / shape.config.max_source_positions
        n_kernels = KERNELS_A_LAYER * shape.config.decoder_layers + OTHER_KERNELS
        return max(STEP_ON_HOST_S, n_bytes / self.bytes_per_s + n_kernels * KERNEL_S)


class SimulatedGpu:
    """Windows are their numbers of positions. Tokens arrive a call late; prompts are fed by steps."""

    def __init__(self, card: Card, shape: Shape) -> None:
        self._card, self._shape = card, shape
        self.now_s = 0.0
        self.batches: list[int] = []
        """Windows of each batch."""
        self._encoding: deque[tuple[float, tuple[int, ...]]] = deque()  # seconds of work, and slots
        self._positions: dict[int, int] = {}
        self._unfed: dict[int, int] = {}  # by slot, tokens of the prompt
        self._launched: list[DecodingState] = []

    @property
    def is_encoding(self) -> bool:
        return bool(self._encoding)

    def encode(
        self, windows: Mapping[int, Any], *, spans: Mapping[int, Sequence[PositionSpan]]
    ) -> Mapping[int, Sequence[LanguageScores]]:
        self.batches.append(len(windows))
        self._positions |= windows
        seconds = self._card.encoding_s(self._shape, list(windows.values()))
        self._encoding.append((seconds, tuple(windows)))
        return {}

    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        self._unfed |= {slot: len(state.prompt.tokens) for slot, state in states.items()}

    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        encoding = {slot for _, slots in self._encoding for slot in slots}
        rows = {slot: state for slot, state in states.items() if slot not in encoding and not state.is_finished}
        if rows:
            self._run(self._card.step_s(self._shape, [self._positions[slot] for slot in rows]))
        elif self._encoding:
            self._run(self._encoding[0][0], encodes_alone=True)
        late, self._launched = self._launched, []
        for slot, state in rows.items():
            self._unfed[slot] -= 1
            if self._unfed[slot] <= 0:
                self._launched.append(state)
        for state in late:
            if not state.is_finished:
                state.append(1, -0.1, eot=EOT)

    def align(self, texts: Mapping[int, AlignmentInput]) -> Mapping[int, Any]:
        raise NotImplementedError  # No simulated request asks for the times of words.

    def free(self, slot: int) -> None:
        del self._positions[slot]

    def _run(self, step_s: float, *, encodes_alone: bool = False) -> None:
        """Let the time of a step pass. While windows are encoded, both are slower, unless they overlap."""
        rate = 1.0 if encodes_alone else (1 + self._card.overlap) / 2
        while self._encoding and step_s > 0:
            seconds, slots = self._encoding.popleft()
            done_s = min(seconds, step_s)
            self.now_s += done_s / rate
            step_s -= done_s
            if seconds > done_s:
                self._encoding.appendleft((seconds - done_s, slots))
        self.now_s += step_s
