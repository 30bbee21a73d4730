"""A Whisper checkpoint as the engine runs it: windows into slots, one token a step for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.types import ModelInfo
from hf_asr_endpoint.units import N_POSITIONS
from hf_asr_endpoint.whisper import kernels
from hf_asr_endpoint.whisper.alignment.aligner import Aligner, select_alignment_heads
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput
from hf_asr_endpoint.whisper.checkpoint.loader import Device, Dtype, WhisperCheckpoint, load_checkpoint
from hf_asr_endpoint.whisper.checkpoint.tensors import EMBEDDINGS, OUTPUT
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.logit_filters import TokenRules
from hf_asr_endpoint.whisper.decoding.sampling import choose_tokens
from hf_asr_endpoint.whisper.decoding.search_step import DegenerationPenalty, SearchStep
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt, DecodingState, Search
from hf_asr_endpoint.whisper.kernels.layout import HEAD_DIM
from hf_asr_endpoint.whisper.kv_cache.bfloat16_self_kv import Bfloat16SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossKVCache, DenseCrossKVCache
from hf_asr_endpoint.whisper.kv_cache.int8_cross_kv import Int8CrossKVCache
from hf_asr_endpoint.whisper.kv_cache.self_kv import DenseSelfKVCache, SelfKVCache
from hf_asr_endpoint.whisper.kv_cache.shape import CacheShape
from hf_asr_endpoint.whisper.model.decoder import BatchBuilder, CrossProjection, Decoder
from hf_asr_endpoint.whisper.model.encoder import Encoder
from hf_asr_endpoint.whisper.model.layers import linear_factory, row_padding
from hf_asr_endpoint.whisper.model.linear import Arithmetic
from hf_asr_endpoint.whisper.process import trim_heap, use_all_cores, use_one_core

DECODER_ACTIVATION_BYTES = 2
"""Steps wait for weights to be read, hardly for products, so there may be twice as many. With rows in two bytes
instead of one, the log-probabilities of whisper-base's likeliest tokens are off by 0.14 instead of 0.22 (root mean
square; by 0.08 in bfloat16), and a step of 14 rows takes 5 % longer."""

WINDOWS_BETWEEN_TRIMS = 8  # of the heap, when no slot is taken: minutes of audio, or many clips
BUSY_WINDOWS_BETWEEN_TRIMS = 32  # when others go on, whom it keeps waiting for some milliseconds


class WhisperSpeechModel:
    """Owns the fused weights and the slots' caches. Used by one thread at a time.

    The checkpoint's own weights are read here and not kept.
    """

    def __init__(self, checkpoint: WhisperCheckpoint, *, n_slots: int, arithmetic: Arithmetic) -> None:
        config, tensors = checkpoint.config, checkpoint.tensors
        self._device, self._dtype = tensors.device, tensors.dtype
        shape = CacheShape(
            n_slots=n_slots,
            n_layers=config.decoder_layers,
            n_heads=config.decoder_attention_heads,
            head_dim=config.d_model // config.decoder_attention_heads,
            max_tokens=config.max_target_positions,
            max_positions=config.max_source_positions,
        )
        of_windows = linear_factory(arithmetic=arithmetic, n_rows=N_POSITIONS)
        of_steps = linear_factory(arithmetic=arithmetic, n_rows=n_slots, activation_bytes=DECODER_ACTIVATION_BYTES)
        self._texts, self._windows = make_caches(shape, device=self._device, dtype=self._dtype)
        self._encoder = Encoder(
            tensors.under("model.encoder"),
            of_windows,
            linear_factory(arithmetic="float", n_rows=N_POSITIONS),
            n_layers=config.encoder_layers,
            head_dim=config.d_model // config.encoder_attention_heads,
        )
        decoder = tensors.under("model.decoder")
        embeddings, output = tensors[EMBEDDINGS], tensors.find(OUTPUT)
        self._cross = CrossProjection(decoder, of_windows, n_layers=config.decoder_layers)
        self._pad_rows = row_padding(arithmetic=arithmetic, like=embeddings)
        self._decoder = Decoder(decoder, of_steps, pad_rows=self._pad_rows, shape=shape, embeddings=embeddings)
        self._vocabulary = of_steps(embeddings if output is None else output, None)
        self._batches = BatchBuilder(self._texts, self._windows, device=self._device)
        self._rules = TokenRules(checkpoint)
        self._likeness = DegenerationPenalty()
        self._n_windows = 0  # encoded since the heap was last trimmed
        self._aligner = Aligner(
            self._decoder,
            self._windows,
            self._batches,
            heads=select_alignment_heads(
                checkpoint.generation_config.alignment_heads,
                n_layers=config.decoder_layers,
                n_heads=config.decoder_attention_heads,
            ),
            eot=self._rules.eot,
            logits=self._logits,
        )

    @torch.inference_mode()
    def encode(self, windows: Mapping[int, Tensor]) -> None:
        """Encode windows, by slot: mel frames, float32, shape = (n_mels, n_frames), at most N_FRAMES.

        Slots that are given the same one share it.
        """
        use_all_cores()
        sharing: dict[int, list[int]] = defaultdict(list)
        for slot, mel in windows.items():
            sharing[id(mel)].append(slot)
        for slots in sharing.values():
            mel = windows[slots[0]]
            features = self._encoder(mel.to(self._device, self._dtype))
            self._windows.place(slots[0], len(features))
            self._windows.share(slots[0], slots[1:])
            for layer, keys_and_values in enumerate(self._cross(features)):
                self._windows.write(slots[0], layer, keys_and_values)
        self._n_windows += len(sharing)

    @torch.inference_mode()
    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        """Feed the prompts of newly begun states, by slot; detect languages; sample each one's first token.

        Of those that share a window, a prompt and a search, one is fed, and the others copy it.
        """
        leaders = self._leaders(states)
        fed = {slot: states[slot] for slot in leaders.values()}
        asking = {slot: state for slot, state in fed.items() if state.prompt.after_language is not None}
        for slots in _by_length(asking):
            self._detect_languages({slot: fed[slot] for slot in slots})
        for slots in _by_length(fed):
            logits = self._feed_prompts({slot: fed[slot] for slot in slots})
            rows = {slot: row for row, slot in enumerate(slots)}
            together = [slot for slot in sorted(states) if leaders[slot] in rows]
            if len(together) > len(slots):
                self._copy_prompts({slot: leaders[slot] for slot in together if leaders[slot] != slot}, states)
                logits = logits[[rows[leaders[slot]] for slot in together]]
            self._sample(logits, together, states)

    @torch.inference_mode()
    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        """Feed each state's last token and sample its next one, by slot."""
        use_all_cores()
        slots = sorted(states)
        features = self._decode(
            slots,
            tokens=[[states[slot].sampled[-1]] for slot in slots],
            begins=[len(states[slot].fed_prompt) + len(states[slot].sampled) - 1 for slot in slots],
        )[:, 0]
        self._likeness.choose([states[slot] for slot in slots], features, eot=self._rules.eot)
        self._sample(self._logits(features), slots, states)

    @torch.inference_mode()
    def align(self, texts: Mapping[int, AlignmentInput]) -> dict[int, AlignmentOutput]:
        """Feed texts to the windows they were heard in, by slot; the slots' decoding has ended."""
        use_all_cores()
        return self._aligner(texts)

    @torch.inference_mode()
    def free(self, slot: int) -> None:
        """Forget a slot's window and its text."""
        self._windows.free(slot)
        self._texts.free(slot)
        is_idle = not self._windows.slots
        if self._n_windows >= (WINDOWS_BETWEEN_TRIMS if is_idle else BUSY_WINDOWS_BETWEEN_TRIMS):
            self._n_windows = 0
            trim_heap()

    def _leaders(self, states: Mapping[int, DecodingState]) -> dict[int, int]:
        """Return for each slot the first of those that share its window and have the same prompt and search."""
        first: dict[tuple[int | tuple[int, int], DecoderPrompt, Search | None], int] = {}
        return {
            slot: first.setdefault((self._windows.of(slot), state.prompt, state.search), slot)
            for slot, state in sorted(states.items())
        }

    def _copy_prompts(self, sources: Mapping[int, int], states: Mapping[int, DecodingState]) -> None:
        """sources: whose prompt has been fed, by the slot that is to have it too."""
        self._texts.copy(sources, n_tokens=max(states[slot].prompt.length for slot in sources))
        for slot, source in sources.items():
            states[slot].language_token = states[source].language_token
            states[slot].no_speech_prob = states[source].no_speech_prob

    def _detect_languages(self, states: Mapping[int, DecodingState]) -> None:
        slots = sorted(states)
        features = self._decode(
            slots, tokens=[states[slot].prompt.tokens for slot in slots], begins=[0] * len(slots)
        )
        self._likeness.remember([states[slot] for slot in slots], features)
        logits = self._logits(features[:, -1])
        for slot, language, no_speech_prob in zip(
            slots, self._rules.languages(logits), self._rules.no_speech_probs(logits), strict=True
        ):
            states[slot].language_token, states[slot].no_speech_prob = language, no_speech_prob

    def _feed_prompts(self, states: Mapping[int, DecodingState]) -> Tensor:
        """Feed what has not been fed, and return the logits after it, in the order of the slots.

        All prompts have equal length, and the same part of them has been fed.
        """
        slots = sorted(states)
        rows = [states[slot] for slot in slots]
        first = rows[0]
        n_fed = 0 if first.prompt.after_language is None else len(first.prompt.tokens)
        features = self._decode(slots, tokens=[row.fed_prompt[n_fed:] for row in rows], begins=[n_fed] * len(rows))
        self._likeness.remember(rows, features)
        if n_fed:
            return self._logits(features[:, -1])
        at_sot = torch.stack([features[i, row.prompt.sot_index] for i, row in enumerate(rows)])
        after_sot, after_prompt = self._logits(torch.cat([at_sot, features[:, -1]])).chunk(2)
        for row, no_speech_prob in zip(rows, self._rules.no_speech_probs(after_sot), strict=True):
            row.no_speech_prob = no_speech_prob
        return after_prompt

    def _decode(self, slots: Sequence[int], *, tokens: Sequence[Sequence[int]], begins: Sequence[int]) -> Tensor:
        return self._decoder(self._batches.build(slots=slots, tokens=tokens, begins=begins))

    def _logits(self, features: Tensor) -> Tensor:
        """features: shape = (n_rows, d_model). Returns float32, shape = (n_rows, n_vocab)."""
        return self._vocabulary(self._pad_rows(features))[: len(features)].float()

    def _sample(self, logits: Tensor, slots: Sequence[int], states: Mapping[int, DecodingState]) -> None:
        """Have each row go on by a token. logits: of the slots, in ascending order, shape = (n_slots, n_vocab)."""
        rows = [states[slot] for slot in slots]
        searches = SearchStep(logits, rows)
        self._rules.filter(logits, rows)
        alone, of_alone = searches.others(logits)
        for state, (token, logprob) in zip(alone, choose_tokens(of_alone, alone), strict=True):
            state.append(token, logprob, eot=self._rules.eot)
        if sources := searches.advance(logits, eot=self._rules.eot, filter_again=self._rules.filter):
            moved = {slots[row]: slots[source] for row, source in sources.items()}
            n_tokens = max(len(states[slot].fed_prompt) + len(states[slot].sampled) for slot in moved)
            self._texts.copy(moved, n_tokens=n_tokens - 1)


def make_caches(
    shape: CacheShape, *, device: torch.device, dtype: torch.dtype
) -> tuple[SelfKVCache, CrossKVCache]:
    """Return the fastest ones for a device and dtype."""
    if device.type == "cpu" and dtype == torch.bfloat16 and shape.head_dim == HEAD_DIM and kernels.available():
        return Bfloat16SelfKVCache(shape), Int8CrossKVCache(shape)
    return DenseSelfKVCache(shape, device=device, dtype=dtype), DenseCrossKVCache(
        shape, device=device, dtype=dtype
    )


def load_speech_model(
    directory: Path, *, device: Device, dtype: Dtype | Literal["int8"], n_slots: int
) -> tuple[WhisperSpeechModel, WhisperTokenizer, ModelInfo]:
    """Load a transformers directory for the engine.

    dtype: "int8" computes linear layers in 8-bit integers and the rest in bfloat16, or float32 where that is
    slow; "auto" does so where tiles are fastest, and is what `load_checkpoint` takes it for elsewhere.
    Raises ModelUnavailable.
    """
    use_one_core()
    checkpoint = load_checkpoint(directory, device=device, dtype="auto" if dtype == "int8" else dtype)
    is_on_cpu = checkpoint.info.device == "cpu"
    if dtype == "int8" and not (is_on_cpu and torch.cpu._is_vnni_supported()):
        raise ModelUnavailable("dtype int8 needs a CPU with VNNI instructions; choose another --dtype")
    is_int8 = dtype == "int8" or (dtype == "auto" and is_on_cpu and kernels.prefer_tiles())
    model = WhisperSpeechModel(checkpoint, n_slots=n_slots, arithmetic="int8" if is_int8 else "float")
    info = replace(checkpoint.info, dtype="int8") if is_int8 else checkpoint.info
    return model, checkpoint.tokenizer, info


def _by_length(states: Mapping[int, DecodingState]) -> list[list[int]]:
    """Return slots grouped so that one decoder pass can feed each group's prompts."""
    groups: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for slot, state in states.items():
        groups[len(state.fed_prompt), state.prompt.after_language is None].append(slot)
    return [sorted(group) for group in groups.values()]
