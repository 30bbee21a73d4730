"""Whisper computed by transformers, as the engine's model: for checkpoints that our own layers refuse.

A window is decoded to its end in one call of `generate`, together with all others that wait, so that everything
else is as with the native model: chunks, languages, prompts, fallback, segments, words and log-probabilities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from hf_asr_endpoint.transformers_models.generation import generation_arguments
from hf_asr_endpoint.transformers_models.limits import GENERATION, LOG_PROBABILITIES, Abilities
from hf_asr_endpoint.transformers_models.whisper_calls import Decoded, WhisperCalls
from hf_asr_endpoint.whisper.alignment.aligner import select_alignment_heads
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, AlignmentOutput
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.beam_search import Hypothesis
from hf_asr_endpoint.whisper.decoding.state import DecodingState
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from hf_asr_endpoint.whisper.process import trim_heap
from hf_asr_endpoint.whisper.threads import use_all_cores

WHISPER_ABILITIES = Abilities(
    name="Whisper on the transformers engine",
    options=GENERATION
    | LOG_PROBABILITIES
    | {"task", "language", "languages", "detects_language_only", "word_timestamps", "best_of"}
    | {"condition_on_previous_text", "prompt", "hotwords"},
    samples=True,
    falls_back=True,
)

WINDOWS_BETWEEN_TRIMS = 8  # of the heap


class TransformersWhisper:
    """A SpeechModel (`engine/model.py`). `prefill` finishes all states, so that `decode_step` has nothing to do.

    Used by one thread at a time.
    """

    is_encoding = False

    def __init__(self, model: Any, tokenizer: WhisperTokenizer, *, is_multilingual: bool) -> None:
        """model: a WhisperForConditionalGeneration."""
        self._calls = WhisperCalls(model, tokenizer, is_multilingual=is_multilingual)
        self._tokenizer = tokenizer
        self._own_suppressed = tuple(model.generation_config.suppress_tokens or ())
        self._heads = select_alignment_heads(
            getattr(model.generation_config, "alignment_heads", None),
            n_layers=model.config.decoder_layers,
            n_heads=model.config.decoder_attention_heads,
        )
        self._features: dict[int, Tensor] = {}  # by slot, (n_positions, d_model)
        self._n_windows_since_trim = 0

    def encode(
        self, windows: Mapping[int, Tensor], *, spans: Mapping[int, Sequence[PositionSpan]] = MappingProxyType({})
    ) -> dict[int, list[LanguageScores]]:
        """Encode windows, shape = (n_mels, n_frames), by slot. The parts of one get the whole's scores."""
        use_all_cores()
        unique = {id(window): window for window in windows.values()}
        encoded: dict[int, Tensor] = {}
        for batch in _by_shape(unique):
            stacked = torch.stack([unique[window] for window in batch])
            encoded |= zip(batch, self._calls.encode(stacked), strict=True)
        for slot, window in windows.items():
            self._features[slot] = encoded[id(window)]
        self._n_windows_since_trim += len(unique)
        scores: dict[int, list[LanguageScores]] = {}
        if spans:
            asked = self._calls.hear([self._features[slot] for slot in spans])
            after = self._calls.logits(asked, (self._tokenizer.sot,))[:, 0]
            for (slot, parts), after_sot in zip(spans.items(), after, strict=True):
                scores[slot] = [self._language_scores(after_sot)] * len(parts)
        return scores

    def prefill(self, states: Mapping[int, DecodingState]) -> None:
        """Decode new states to their end, by slot: those that allow it as one batch."""
        use_all_cores()
        batches: dict[Any, dict[int, DecodingState]] = defaultdict(dict)
        searches: dict[int, list[DecodingState]] = defaultdict(list)
        for slot, state in sorted(states.items()):
            if state.search is not None:
                searches[id(state.search)].append(state)
                batches[id(state.search)].setdefault(slot, state)
            elif state.rules.temperature > 0:
                batches[slot][slot] = state  # What is sampled must not depend on who else asks.
            else:
                batches[_greedy_key(state)][slot] = state
        for key, batch in batches.items():
            if key not in searches:
                self._decode(batch)
                continue
            slot, first = next(iter(batch.items()))
            self._decode({slot: first})
            best = Hypothesis(score=first.avg_logprob, tokens=tuple(first.sampled), logprobs=tuple(first.logprobs))
            for state in searches[key]:
                state.no_speech_prob = first.no_speech_prob
                state.conclude(best)

    def decode_step(self, states: Mapping[int, DecodingState]) -> None:
        """Never called: `prefill` has finished all states."""
        raise AssertionError("a state was left unfinished")

    def align(self, texts: Mapping[int, AlignmentInput]) -> dict[int, AlignmentOutput]:
        """Return the attention of texts to their windows, by slot."""
        use_all_cores()
        return {slot: self._align(self._features[slot], text) for slot, text in texts.items()}

    def free(self, slot: int) -> None:
        """Forget a slot's window."""
        self._features.pop(slot, None)
        if not self._features and self._n_windows_since_trim >= WINDOWS_BETWEEN_TRIMS:
            self._n_windows_since_trim = 0
            trim_heap()

    def _decode(self, batch: Mapping[int, DecodingState]) -> None:
        """Decode states with equal prompts, but for languages, and equal rules, but for `max_new_tokens`."""
        states = list(batch.values())
        first = states[0]
        windows = self._calls.hear([self._features[slot] for slot in batch])
        before = self._calls.logits(windows, first.prompt.tokens[: first.prompt.sot_index + 1])[:, -1]
        rules = first.rules
        arguments = generation_arguments(
            rules.options, own_suppressed=self._own_suppressed, is_search=rules.beams is not None
        )
        if rules.temperature > 0:
            torch.manual_seed(rules.seed)
        decoded = self._calls.generate(
            windows,
            [state.prompt for state in states],
            {
                **arguments,
                "temperature": rules.temperature,
                "max_new_tokens": max(state.rules.max_new_tokens for state in states),
                "min_new_tokens": rules.min_new_tokens,
            },
            have_left=lambda: [state.has_left() for state in states],
        )
        for state, text, no_speech_prob in zip(states, decoded, self._no_speech_probs(before), strict=True):
            state.no_speech_prob = no_speech_prob
            self._finish(state, text)

    def _finish(self, state: DecodingState, text: Decoded) -> None:
        for token, logprob in zip(text.tokens, text.logprobs, strict=True):
            if not state.is_finished:
                state.append(token, logprob, eot=self._tokenizer.eot)
        state.is_finished = True

    def _no_speech_probs(self, after_sot: Tensor) -> list[float]:
        no_speech = self._tokenizer.no_timestamps - 1
        probabilities: list[float] = after_sot.softmax(dim=-1)[:, no_speech].tolist()
        return probabilities

    def _language_scores(self, after_sot: Tensor) -> LanguageScores:
        tokens = sorted(self._tokenizer.language_tokens.values())
        return LanguageScores(
            logprobs=dict(zip(tokens, after_sot[tokens].log_softmax(dim=-1).tolist(), strict=True)),
            no_speech_prob=self._no_speech_probs(after_sot[None])[0],
        )

    def _align(self, features: Tensor, text: AlignmentInput) -> AlignmentOutput:
        attention = self._calls.attend(features, text)
        begin = len(text.prompt) - 1  # where the first token of the text is predicted
        heads = torch.stack([attention.weights[layer][head] for layer, head in self._heads])
        heads = heads[:, begin:, : text.n_positions]
        logits = attention.logits[begin:-1, : self._tokenizer.eot]  # (n_tokens, n_text_tokens)
        chosen = torch.tensor(text.tokens, device=logits.device)[:, None]
        return AlignmentOutput(
            weights=(heads / heads.sum(dim=-1, keepdim=True)).mean(dim=0).cpu().numpy(),
            probabilities=tuple(logits.softmax(dim=-1).gather(1, chosen)[:, 0].tolist()),
        )


def _by_shape(tensors: Mapping[int, Tensor]) -> list[list[int]]:
    """Group the keys of tensors that can be stacked."""
    groups: dict[torch.Size, list[int]] = defaultdict(list)
    for key, tensor in tensors.items():
        groups[tensor.shape].append(key)
    return list(groups.values())


def _greedy_key(state: DecodingState) -> Any:
    """Return what states must have in common to be decoded by one call."""
    prompt = state.prompt
    task = prompt.tokens[prompt.sot_index + 2 :]
    return prompt.tokens[: prompt.sot_index], task, replace(state.rules, max_new_tokens=1)
