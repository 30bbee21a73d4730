"""A Whisper checkpoint as the engine runs it on a GPU: the host launches whole steps, and reads them a step late.

The device chooses the tokens of rows that decode greedily by the model's own rules. Beams, samples, contrastive
searches and rows with rules of their own take part in the same steps, and the host chooses from their logits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from hf_asr_endpoint.errors import DeviceLost
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.device.accelerator import Accelerator, Event, Lane
from hf_asr_endpoint.whisper.device.caches import SlotCaches, SlotSelfKV, SlotWindows, new_caches
from hf_asr_endpoint.whisper.device.choice import chooses_on_device, device_rules
from hf_asr_endpoint.whisper.device.eager_decoder import EagerDecoder
from hf_asr_endpoint.whisper.device.graphs import StepGraphs
from hf_asr_endpoint.whisper.device.memory_plan import plan_slots
from hf_asr_endpoint.whisper.device.operations import choose_operations
from hf_asr_endpoint.whisper.device.ragged_encoder import RaggedEncoder, choose_attention
from hf_asr_endpoint.whisper.device.row_states import MAX_STEPPED_PROMPT, new_states, row_numbers
from hf_asr_endpoint.whisper.device.running_rows import RunningRows
from hf_asr_endpoint.whisper.device.step import DecodeStep, new_outputs
from hf_asr_endpoint.whisper.device.weights import decoder_weights, encoder_weights
from hf_asr_endpoint.whisper.device.window_encoder import WindowEncoder
from hf_asr_endpoint.whisper.host_path import connect_host_path
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from hf_asr_endpoint.whisper.log_mel import Window

MAX_WINDOWS = 8
"""Windows that are encoded together: 16 are no faster (H100: 4.73 ms each, not 4.74), and steps wait longer."""


class DeviceSpeechModel:
    """Implements the engine's seam (`engine/model.py`). Owns the weights and the caches of all slots.

    `encode` runs in a lane of its own, beside the steps; a row begins once its window is there. `prefill` only
    registers rows whose short prompts are fed by steps. Each `decode_step` launches a step and reads the one
    before it, so a state gets its token one call later, and its first token some calls later.

    Used by one thread at a time.
    """

    def __init__(
        self,
        checkpoint: WhisperCheckpoint,
        *,
        slots: int | None,
        accelerator: Accelerator,
        max_windows: int = MAX_WINDOWS,
        looks_ahead: bool = True,
    ) -> None:
        """Copy the checkpoint's weights to the accelerator's device, and capture the steps.

        slots: None takes as many as the memory suffices for. max_windows: see `WindowEncoder`. Raises
        ModelUnavailable for more slots than the memory suffices for.
        """
        config = checkpoint.config
        self._accelerator = accelerator
        self._weights = decoder_weights(checkpoint.tensors, config)
        self._operations = choose_operations(self._weights)
        encoder = RaggedEncoder(
            encoder_weights(checkpoint.tensors, config),
            attention=choose_attention(checkpoint.tensors.dtype, has_flash=accelerator.has_ragged_attention),
            add_norm=self._operations.add_norm,
        )
        self.slots = plan_slots(
            config,
            wanted=slots,
            free_bytes=accelerator.free_bytes(),
            width=checkpoint.tensors.dtype.itemsize,
            n_windows=max_windows,
        )
        caches = new_caches(
            self._weights,
            n_slots=self.slots,
            max_tokens=config.max_target_positions,
            max_positions=config.max_source_positions,
        )
        upload = accelerator.upload
        self._self_kv = SlotSelfKV(caches.own, upload)
        self._windows = SlotWindows(caches.windows, upload, copies=not self._operations.shares_windows)
        self._encoder = WindowEncoder(encoder, self._weights, self._windows, accelerator, max_windows=max_windows)
        self._timestamp_begin = checkpoint.tokenizer.timestamp_begin
        self._n_vocab, self._max_tokens = config.vocab_size, config.max_target_positions
        self._host = connect_host_path(
            checkpoint,
            EagerDecoder(self._weights),
            self_kv=self._self_kv,
            cross_kv=self._windows,
            logits=self._logits,
            device=accelerator.device,
        )
        self._outputs = new_outputs(self._weights, n_rows=self.slots)
        self._rows = self._capture_steps(checkpoint, caches, looks_ahead=looks_ahead)
        self._encoded: dict[int, Event] = {}
        """By slot, the end of its window's encoding, until decoding has taken notice of it."""
        self._last_encoded: Event | None = None
        self._waiting: set[int] = set()
        """Slots of new rows that no step has fed yet."""

    def _capture_steps(
        self, checkpoint: WhisperCheckpoint, caches: SlotCaches, *, looks_ahead: bool
    ) -> RunningRows:
        accelerator = self._accelerator
        states = new_states(self.slots, device=accelerator.device)
        step = DecodeStep(
            self._weights,
            caches,
            states,
            self._outputs,
            rules=device_rules(checkpoint, n_rows=len(self._weights.output), device=accelerator.device),
            operations=self._operations,
        )
        accelerator.synchronize()  # What has been allocated so far is used in other lanes from now on.
        with torch.inference_mode():
            graphs = StepGraphs(step, accelerator, n_slots=self.slots)
        return RunningRows(states, graphs, accelerator, eot=self._host.rules.eot, looks_ahead=looks_ahead)

    @property
    def windows_per_step(self) -> int:
        """How many windows the engine should pass to one call of `encode`."""
        return self._encoder.max_windows

    @property
    def is_encoding(self) -> bool:
        """Whether the last call's windows are not there yet."""
        return self._last_encoded is not None and not self._last_encoded.is_done()

    @torch.inference_mode()
    def encode(
        self, windows: Mapping[int, Window], *, spans: Mapping[int, Sequence[PositionSpan]] = MappingProxyType({})
    ) -> dict[int, list[LanguageScores]]:
        """See `WhisperSpeechModel.encode`. Waits for the device only where a language is asked for.

        Of windows that are waveforms, the device makes the spectrograms.
        """
        scores: dict[int, list[LanguageScores]] = {}
        with self._working("encode"):
            self._encoder.encode(windows)
            self._last_encoded = encoded = self._accelerator.mark()
            self._encoded |= dict.fromkeys(windows, encoded)
            for slot, of_window in spans.items():
                layers = (self._windows.layer(slot, layer) for layer in range(len(self._weights.layers)))
                scores[slot] = self._host.language_detector.detect(
                    of_window, layers, n_positions=self._windows.length(slot)
                )
        return scores

    @torch.inference_mode()
    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        """Begin new states, by slot. Those with a short prompt that the device chooses for are fed by steps.

        Raises ValueError for a text that could outgrow the cache: the device would read foreign memory.
        """
        for state in states.values():
            if len(state.prompt.tokens) + state.rules.max_new_tokens > self._max_tokens + 1:
                raise ValueError(f"prompt and max_new_tokens exceed the decoder's {self._max_tokens} positions")
        fed_here = {slot: state for slot, state in states.items() if not _is_fed_by_steps(state)}
        with self._working("decode"):
            self._self_kv.clear(tuple(states))
            self._waiting |= states.keys() - fed_here.keys()
            if fed_here:
                self._await_windows(fed_here)
                self._host.prompts.feed(fed_here)
                self._load_fed(fed_here)

    @torch.inference_mode()
    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        """Launch a step of these states, by slot, and read what the one before it has chosen."""
        hosted = {slot: state for slot, state in sorted(states.items()) if not chooses_on_device(state)}
        with self._working("decode"):
            own = {slot: state for slot, state in states.items() if slot not in hosted}
            started = self._start(own, may_wait=not hosted)
            self._rows.launch(started, n_others=max(hosted, default=-1) + 1)
            if hosted:
                self._choose_on_host(hosted)
                self._load_fed(hosted)
                self._rows.read_all()

    @torch.inference_mode()
    def align(self, texts: Mapping[int, AlignmentInput]) -> dict[int, AlignmentOutput]:
        """See `WhisperSpeechModel.align`."""
        with self._working("decode"):
            self._await_windows(texts)
            return self._host.aligner.align(texts)

    def free(self, slot: int) -> None:
        """Forget a slot's window and text."""
        self._windows.free(slot)
        self._encoded.pop(slot, None)
        self._waiting.discard(slot)
        self._rows.clear(slot)

    def _start(self, states: Mapping[int, DecodingState], *, may_wait: bool) -> dict[int, DecodingState]:
        """Load new rows whose windows are there, and return the states that run now.

        may_wait: whether the lane may wait for the first window if nothing else runs.
        """
        started = {slot: state for slot, state in states.items() if slot not in self._waiting}
        new = [slot for slot in states if slot in self._waiting]
        ready = [slot for slot in new if self._is_encoded(slot)]
        if new and not ready and not started and may_wait:
            first = self._encoded[new[0]]
            ready = [slot for slot in new if self._encoded.get(slot) is first]
            self._await_windows(ready)
        for slot in ready:
            self._waiting.discard(slot)
            self._load(slot, states[slot], is_fed=False)
        return started | {slot: states[slot] for slot in ready}

    def _is_encoded(self, slot: int) -> bool:
        event = self._encoded.get(slot)
        if event is not None and event.is_done():
            del self._encoded[slot]
            return True
        return event is None

    def _await_windows(self, slots: Iterable[int]) -> None:
        """Let what follows in the current lane begin after the windows of slots have been encoded."""
        for event in {id(event): event for slot in slots if (event := self._encoded.pop(slot, None))}.values():
            self._accelerator.after(event)

    def _load_fed(self, states: Mapping[int, DecodingState]) -> None:
        """Load rows whose last token the host has chosen.

        At once, and not when they go on: a stopped row, too, caches its token's keys and values in every step.
        Beams have exchanged their caches, which the token of the step before would spoil.
        """
        for slot, state in states.items():
            if not state.is_finished:
                self._load(slot, state, is_fed=True)

    def _load(self, slot: int, state: DecodingState, *, is_fed: bool) -> None:
        numbers = row_numbers(
            state,
            slot=slot,
            window=self._windows.window(slot),
            length=self._windows.length(slot),
            timestamp_begin=self._timestamp_begin,
            is_fed=is_fed,
            is_stopped=not chooses_on_device(state),
        )
        self._rows.load(numbers, () if is_fed else state.prompt.tokens)

    def _choose_on_host(self, states: Mapping[int, DecodingState]) -> None:
        """states: by slot, ascending, of rows that the last step has fed."""
        slots = list(states)
        rows = list(states.values())
        index = self._accelerator.upload(torch.tensor(slots))
        self._host.degeneration_penalty.choose(rows, self._outputs.features[index], eot=self._host.rules.eot)
        self._host.choice.choose(self._outputs.logits[index][:, : self._n_vocab].float(), slots, states)

    def _logits(self, features: Tensor) -> Tensor:
        """features: shape = (n_rows, d_model). Returns float32, shape = (n_rows, n_vocab)."""
        return F.linear(features, self._weights.output)[:, : self._n_vocab].float()

    @contextmanager
    def _working(self, lane: Lane) -> Iterator[None]:
        """Work in a lane. Raises DeviceLost where an error leaves the device useless."""
        try:
            with self._accelerator.lane(lane):
                yield
        except Exception as exc:  # Whatever was raised, the device itself tells whether it is lost.
            if self._accelerator.is_lost():
                raise DeviceLost(f"the device {self._accelerator.device} failed: {exc}") from exc
            raise


def _is_fed_by_steps(state: DecodingState) -> bool:
    prompt = state.prompt
    return chooses_on_device(state) and len(prompt.tokens) <= MAX_STEPPED_PROMPT and prompt.fed == prompt.tokens
