"""A Whisper checkpoint as the engine runs it: windows are encoded into slots, and all slots decode together.

Knows tokens, slots and tensors. Knows no text, no audio, and not which sequence is in which slot, or why.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from hf_asr_endpoint.units import N_POSITIONS
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput
from hf_asr_endpoint.whisper.checkpoint.config import ModelConfig
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.checkpoint.tensors import EMBEDDINGS, OUTPUT, Tensors
from hf_asr_endpoint.whisper.decoding.contrastive_search import ContrastiveSearch
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.host_path import connect_host_path
from hf_asr_endpoint.whisper.kernels import Kernels
from hf_asr_endpoint.whisper.kv_cache.choose import make_kv_caches
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from hf_asr_endpoint.whisper.model.decoder import CrossProjection, Decoder
from hf_asr_endpoint.whisper.model.encoder import Encoder
from hf_asr_endpoint.whisper.model.layer_norm import LayerNorm
from hf_asr_endpoint.whisper.model.layers import LinearFactory, in_16_bits, linear_factory, row_padding
from hf_asr_endpoint.whisper.model.linear import Arithmetic, Linear
from hf_asr_endpoint.whisper.process import trim_heap
from hf_asr_endpoint.whisper.step_program import make_step_program
from hf_asr_endpoint.whisper.threads import use_all_cores

DECODER_ACTIVATION_BYTES = 2
"""Precision of the decoder's activations in int8 layers. Its steps wait for weights, so it costs little time: with
two bytes instead of one, the log-probabilities of whisper-base's likeliest tokens are off by 0.14 instead of 0.22
(root mean square; 0.08 in bfloat16), and a step of 14 rows takes 5 % longer."""

WINDOWS_BETWEEN_TRIMS = 8  # of the heap, when no slot is in use: minutes of audio, or many clips
BUSY_WINDOWS_BETWEEN_TRIMS = 32  # when slots are in use: a trim delays their next step by some milliseconds


class WhisperSpeechModel:
    """Implements the engine's seam (`engine/model.py`). Owns the weights and the caches of all slots.

    A sequence's life in its slot: `encode` computes its window's features and caches cross-attention's keys and
    values. `prefill` feeds its prompt, which fills the self-attention cache, and chooses its first token. Each
    `decode_step` feeds the last token and chooses the next one. `align` may feed the finished text again to time
    its tokens. `free` clears both caches.

    Used by one thread at a time.
    """

    def __init__(
        self,
        checkpoint: WhisperCheckpoint,
        *,
        slots: int,
        arithmetic: Arithmetic,
        kernels: Kernels | None = None,
    ) -> None:
        """Copy the checkpoint's weights into fused layers.

        kernels: those for the checkpoint's device and dtype, if there are any.
        """
        self.slots = slots
        config, tensors = checkpoint.config, checkpoint.tensors
        self._device, self._dtype = tensors.device, tensors.dtype
        if arithmetic == "int8":  # Layers quantize each weight as soon as it is read.
            tensors = tensors.keeping_matrices()
        shape = _cache_shape(config, slots=slots)
        make_linear = partial(linear_factory, arithmetic=arithmetic, dtype=self._dtype, kernels=kernels)
        make_window_linear = make_linear(n_rows=N_POSITIONS)
        make_step_linear = make_linear(n_rows=slots, activation_bytes=DECODER_ACTIVATION_BYTES)
        self._self_kv, self._cross_kv = make_kv_caches(
            shape, device=self._device, dtype=self._dtype, kernels=kernels
        )
        decoder = tensors.under("model.decoder")
        norm = LayerNorm(*decoder.norm("layer_norm"))
        make_output = make_linear(n_rows=slots, activation_bytes=DECODER_ACTIVATION_BYTES, evens_inputs=True)
        self._output, embeddings = _output_and_embeddings(tensors, make_output, norm, arithmetic=arithmetic)
        self._encoder = Encoder(
            tensors.under("model.encoder"),
            make_window_linear,
            linear_factory(arithmetic="float", n_rows=N_POSITIONS),
            n_layers=config.encoder_layers,
            head_dim=config.d_model // config.encoder_attention_heads,
            kernels=kernels,
        )
        self._cross_projection = CrossProjection(decoder, make_window_linear, n_layers=shape.n_layers)
        self._pad_rows = row_padding(arithmetic=arithmetic, kernels=kernels)
        self._decoder = Decoder(
            decoder, make_step_linear, pad_rows=self._pad_rows, shape=shape, embeddings=embeddings
        )
        self._n_windows_since_trim = 0
        self._host = connect_host_path(
            checkpoint,
            self._decoder,
            self_kv=self._self_kv,
            cross_kv=self._cross_kv,
            logits=self._logits,
            norm=norm,
            device=self._device,
        )
        self._step = make_step_program(
            self._decoder,
            self._output,
            self._self_kv,
            self._cross_kv,
            kernels=kernels,
            shape=shape,
            suppressed=self._host.rules.usually_suppressed,
        )

    @property
    def is_encoding(self) -> bool:
        """Never after a call."""
        return False

    @torch.inference_mode()
    def encode(
        self, windows: Mapping[int, Tensor], *, spans: Mapping[int, Sequence[PositionSpan]] = MappingProxyType({})
    ) -> dict[int, list[LanguageScores]]:
        """Encode windows, by slot: mel frames, float32, shape = (n_mels, n_frames), at most N_FRAMES.

        Slots that are given the same tensor share its keys and values.
        spans: parts of the windows whose language is asked for, by the first slot of a window.
        """
        use_all_cores()
        slots_by_window: dict[int, list[int]] = defaultdict(list)
        for slot, mel in windows.items():
            slots_by_window[id(mel)].append(slot)
        scores: dict[int, list[LanguageScores]] = {}
        mels = [windows[slots[0]].to(self._device, self._dtype) for slots in slots_by_window.values()]
        for (first, *others), features in zip(slots_by_window.values(), self._encoder(mels), strict=True):
            self._cross_kv.allocate(first, len(features))
            self._cross_kv.share(first, others)
            layers = self._cache_cross_kv(first, features)
            if first in spans:
                detector = self._host.language_detector
                scores[first] = detector.detect(spans[first], layers, n_positions=len(features))
            deque(layers, maxlen=0)  # Caches the layers, unless the detector has taken them.
        self._n_windows_since_trim += len(slots_by_window)
        return scores

    @torch.inference_mode()
    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        """Feed the prompts of new states, by slot; choose each state's first token."""
        self._host.prompts.feed(states)

    @torch.inference_mode()
    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        """Feed each state's last token and choose its next one, by slot; of drafts, several tokens."""
        use_all_cores()
        ahead = {slot: state for slot, state in states.items() if state.expected}
        self._host.drafts.feed(ahead)
        others = {slot: states[slot] for slot in sorted(states.keys() - ahead.keys())}
        contrasting = {slot: row for slot, row in others.items() if isinstance(row.search, ContrastiveSearch)}
        if self._step is None:
            self._step_by_layers(others)
        else:
            self._step_by_layers(contrasting)
            self._step_by_program({slot: row for slot, row in others.items() if slot not in contrasting})

    def _step_by_layers(self, states: Mapping[int, DecodingState]) -> None:
        if not states:
            return
        rows = list(states.values())
        tokens, n_cached = [[row.sampled[-1]] for row in rows], [row.n_cached for row in rows]
        features = self._decode(list(states), tokens=tokens, n_cached=n_cached)[:, 0]
        # Contrastive searches fed candidates. Their features say which of them each search takes.
        self._host.degeneration_penalty.choose(rows, features, eot=self._host.rules.eot)
        self._host.choice.choose(self._logits(features), list(states), states)

    def _step_by_program(self, states: Mapping[int, DecodingState]) -> None:
        """Rows without options of their own take what the program chooses, whatever others do."""
        if self._step is None or not states:
            return
        rows = list(states.values())
        sections = [self._host.rules.sections(row) for row in rows]
        tokens, n_cached = [row.sampled[-1] for row in rows], [row.n_cached for row in rows]
        result = self._step(list(states), tokens=tokens, n_cached=n_cached, sections=sections)
        others: dict[int, int] = {}  # indices by slot
        for index, (slot, row) in enumerate(states.items()):
            if sections[index] is None:
                others[slot] = index
            else:
                row.append(*result.chosen[index], eot=self._host.rules.eot)
        if others:
            self._host.choice.choose(result.logits[list(others.values())].float(), list(others), states)

    @torch.inference_mode()
    def align(self, texts: Mapping[int, AlignmentInput]) -> dict[int, AlignmentOutput]:
        """Return the attention of texts to their windows, by slot. The decoding in these slots has ended."""
        use_all_cores()
        return self._host.aligner.align(texts)

    @torch.inference_mode()
    def free(self, slot: int) -> None:
        """Clear a slot's caches."""
        self._cross_kv.free(slot)
        self._self_kv.free(slot)
        is_idle = not self._cross_kv.occupied_slots
        if self._n_windows_since_trim >= (WINDOWS_BETWEEN_TRIMS if is_idle else BUSY_WINDOWS_BETWEEN_TRIMS):
            self._n_windows_since_trim = 0
            trim_heap()

    def _cache_cross_kv(self, slot: int, features: Tensor) -> Iterator[Tensor]:
        """Cache and yield each layer's keys and values, shape = (n_positions, 2 × d_model)."""
        for layer, keys_and_values in enumerate(self._cross_projection(features)):
            self._cross_kv.write(slot, layer, keys_and_values)
            yield keys_and_values

    def _decode(self, slots: Sequence[int], *, tokens: Sequence[Sequence[int]], n_cached: Sequence[int]) -> Tensor:
        """Return features, shape = (n_slots, n_tokens, d_model)."""
        return self._decoder(self._host.batches.build(slots=slots, tokens=tokens, n_cached=n_cached))

    def _logits(self, features: Tensor) -> Tensor:
        """features: before the last norm, shape = (n_rows, d_model). Returns float32, (n_rows, n_vocab)."""
        return self._output(self._pad_rows(features))[: len(features)].float()


def _output_and_embeddings(
    tensors: Tensors, make_linear: LinearFactory, norm: LayerNorm, *, arithmetic: Arithmetic
) -> tuple[Linear, Tensor]:
    """Return the layer of logits after a norm, and the embeddings of tokens, shape = (n_vocab, d_model)."""
    embeddings = tensors.matrix(EMBEDDINGS)
    output = make_linear(tensors.matrix(OUTPUT) if OUTPUT in tensors else embeddings, None, norm)
    return output, in_16_bits(embeddings) if arithmetic == "int8" else embeddings


def _cache_shape(config: ModelConfig, *, slots: int) -> CacheShape:
    return CacheShape(
        slots=slots,
        n_layers=config.decoder_layers,
        n_heads=config.decoder_attention_heads,
        head_dim=config.d_model // config.decoder_attention_heads,
        max_tokens=config.max_target_positions,
        max_positions=config.max_source_positions,
    )
