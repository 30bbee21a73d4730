"""The one place that knows how transformers is called for Whisper. The tests' oracle is this, too.

What transformers keeps on the model between calls, or does by itself, is fenced here: no threshold and no language
of an earlier call or of the checkpoint has a say, `generate` makes one attempt at one window, and attention is put
back after a call that had to change it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList
from transformers.modeling_outputs import BaseModelOutput

from hf_asr_endpoint.transformers_models.cross_attention import CrossAttention, HeardWindows
from hf_asr_endpoint.transformers_models.family import HaveLeft
from hf_asr_endpoint.transformers_models.generation import stop_rows
from hf_asr_endpoint.transformers_models.running_rows import RunningRows
from hf_asr_endpoint.types import TASKS
from hf_asr_endpoint.units import N_FRAMES
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What `generate` wrote after a prompt. tokens: with eot, if it came, and logprobs: one for each.

    score: that beams were ranked by; None without beams. scores: the filtered logits of each step, shape =
    (n_vocab,), where they were asked for.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    score: float | None = None
    scores: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """How a known text attends to its window.

    weights: of each layer, shape = (n_heads, n_tokens, n_positions). logits: after each token, shape =
    (n_tokens, n_vocab). Both have a row for each token of the prompt and the text.
    """

    weights: tuple[Tensor, ...]
    logits: Tensor


class WhisperCalls:
    """transformers' functions for one checkpoint. From one thread at a time."""

    def __init__(self, model: Any, tokenizer: WhisperTokenizer, *, is_multilingual: bool) -> None:
        """model: a WhisperForConditionalGeneration, whose generation config is completed and changed here."""
        self._model = model
        self._cross_attention = CrossAttention(model)
        self._tokenizer = tokenizer
        self._is_multilingual = is_multilingual
        config = model.generation_config
        # After a row's end, and where nobody waits for it any more, `generate` writes padding.
        self._ending = tuple({tokenizer.eot, config.pad_token_id} - {None})
        # The prompt is always complete, and thresholds and fallback are the caller's.
        config.forced_decoder_ids = config.language = config.task = None
        config.compression_ratio_threshold = config.logprob_threshold = config.no_speech_threshold = None
        # Older and fine-tuned checkpoints lack some of what `generate` looks up.
        config.is_multilingual = is_multilingual
        config.no_timestamps_token_id = tokenizer.no_timestamps
        if is_multilingual:
            config.lang_to_id = {f"<|{code}|>": token for code, token in tokenizer.language_tokens.items()}
            config.task_to_id = {task: tokenizer.task_tokens[task] for task in TASKS}

    @torch.inference_mode()
    def encode(self, windows: Tensor) -> Tensor:
        """Return features, shape = (n, n_positions, d_model).

        windows: shape = (n, n_mels, n_frames). transformers' encoder refuses less than 30 s, so that its parts are
        called for that.
        """
        encoder, x = self._model.model.encoder, self._on_device(windows)
        if windows.shape[2] == N_FRAMES:
            whole: Tensor = encoder(x).last_hidden_state
            return whole
        x = gelu(encoder.conv2(gelu(encoder.conv1(x)))).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.shape[1]].to(x.device)
        for layer in encoder.layers:
            x = layer(x, None)
        cut: Tensor = encoder.layer_norm(x)
        return cut

    @torch.inference_mode()
    def hear(self, features: Sequence[Tensor]) -> HeardWindows:
        """Return what the decoder attends to. features: of each window, shape = (n_positions, d_model)."""
        return self._cross_attention.hear(features)

    @torch.inference_mode()
    def logits(self, windows: HeardWindows, tokens: Sequence[int]) -> Tensor:
        """Return the logits after each of these tokens, float32, shape = (n, n_tokens, n_vocab)."""
        fed = torch.tensor([tokens] * len(windows), device=self._model.device)
        with self._cross_attention.over(windows):
            output = self._model(
                encoder_outputs=BaseModelOutput(windows.features),
                decoder_input_ids=fed,
                past_key_values=windows.new_cache(),
            )
        logits: Tensor = output.logits.float()
        return logits

    @torch.inference_mode()
    def generate(
        self,
        windows: HeardWindows,
        prompts: Sequence[DecoderPrompt],
        arguments: Mapping[str, Any],
        *,
        keeps_scores: bool = False,
        have_left: HaveLeft | None = None,
    ) -> list[Decoded]:
        """Decode each window with timestamps, once. With beams, there is one window.

        prompts: one for each window; they differ in their languages only. arguments: more of `generate`'s.
        have_left: of the windows; those that nobody waits for end at any token.
        """
        n_beams = arguments.get("num_beams", 1)
        record = _Record(keeps_scores=keeps_scores)
        running = RunningRows(self._model, self._cross_attention, windows, ending=self._ending)
        criteria = StoppingCriteriaList() if have_left is None else stop_rows(have_left)
        recorded = {
            "logits_processor": LogitsProcessorList([record]),
            "stopping_criteria": StoppingCriteriaList([record, running, *criteria]),
        }
        ranked = {"return_dict_in_generate": True, "output_scores": True, "stopping_criteria": criteria}
        # Beams need a row each for the keys and values; `generate` makes them itself, and none ends alone.
        calling = ranked if n_beams > 1 else {**recorded, "past_key_values": windows.new_cache()}
        with running.left_out():
            output = self._model.generate(
                encoder_outputs=BaseModelOutput(windows.features),
                return_timestamps=True,
                force_unique_generate_call=True,
                **calling,
                **{"temperature": 0.0, **arguments},
                **self._prompt_arguments(prompts),
            )
        n_prompt = len(prompts[0].tokens)
        if n_beams > 1:
            return [self._of_beams(output, row, n_prompt) for row in range(len(prompts))]
        return [self._of_record(record, row, n_prompt) for row in range(len(prompts))]

    @torch.inference_mode()
    def attend(self, features: Tensor, text: AlignmentInput) -> Attention:
        """Return the attention of a text to its window. features: shape = (n_positions, d_model)."""
        tokens = torch.tensor([[*text.prompt, *text.tokens]], device=self._model.device)
        with self._attention_that_tells():
            output = self._model(
                encoder_outputs=BaseModelOutput(features[None]),
                decoder_input_ids=tokens,
                output_attentions=True,
                use_cache=False,
            )
        return Attention(
            weights=tuple(layer[0].float() for layer in output.cross_attentions), logits=output.logits[0].float()
        )

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._model.device, self._model.dtype)

    def _prompt_arguments(self, prompts: Sequence[DecoderPrompt]) -> dict[str, Any]:
        """Return what makes `generate` begin with these prompts: it takes none that are ready."""
        first = prompts[0]
        arguments: dict[str, Any] = {}
        if first.sot_index:
            previous = first.tokens[: first.sot_index]
            arguments["prompt_ids"] = torch.tensor(previous, device=self._model.device)
        if self._is_multilingual:
            codes = {token: code for code, token in self._tokenizer.language_tokens.items()}
            tasks = {token: task for task, token in self._tokenizer.task_tokens.items()}
            arguments["language"] = [f"<|{codes[prompt.tokens[prompt.sot_index + 1]]}|>" for prompt in prompts]
            arguments["task"] = tasks[first.tokens[first.sot_index + 2]]
        return arguments

    def _of_record(self, record: _Record, row: int, n_prompt: int) -> Decoded:
        assert record.sequences is not None
        tokens = record.sequences[row, n_prompt:].tolist()
        assert len(tokens) == len(record.logprobs), "generate began with another prompt"
        n_tokens = self._n_until_eot(tokens)
        return Decoded(
            tokens=tuple(tokens[:n_tokens]),
            logprobs=tuple(float(step[row]) for step in record.logprobs[:n_tokens]),
            scores=tuple(step[row] for step in record.scores[:n_tokens]),
        )

    def _of_beams(self, output: Any, row: int, n_prompt: int) -> Decoded:
        tokens = output.sequences[row, n_prompt:].tolist()
        tokens = tokens[: min(self._n_until_eot(tokens), int((output.beam_indices[row] >= 0).sum()))]
        return Decoded(
            tokens=tuple(tokens),
            # Beams are ranked by log-probabilities of which some are left out; of the others they are these.
            logprobs=tuple(
                float(output.scores[step][row].log_softmax(dim=-1)[token]) for step, token in enumerate(tokens)
            ),
            score=float(output.sequences_scores[row]),
        )

    def _n_until_eot(self, tokens: Sequence[int]) -> int:
        return tokens.index(self._tokenizer.eot) + 1 if self._tokenizer.eot in tokens else len(tokens)

    @contextmanager
    def _attention_that_tells(self) -> Iterator[None]:
        """Use the slow attention that returns its weights, for one call."""
        before = self._model.config._attn_implementation
        self._model.set_attn_implementation("eager")
        try:
            yield
        finally:
            self._model.set_attn_implementation(before)


@dataclass(slots=True)
class _Record(LogitsProcessor, StoppingCriteria):
    """Notes each chosen token's log-probability, and never stops anything.

    `generate` would keep the scores of all steps: hundreds of megabytes for a batch.
    """

    keeps_scores: bool
    sequences: Tensor | None = None
    logprobs: list[Tensor] = field(default_factory=list)  # of each step, (n,)
    scores: list[Tensor] = field(default_factory=list)  # of each step, (n, n_vocab)
    _last: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Any) -> Any:
        """As a processor, the last one before temperature: keep the scores. As a criterion: see the choice."""
        if isinstance(scores, Tensor):
            self._last = scores.float()
            if self.keeps_scores:
                self.scores.append(scores.clone())
            return scores
        assert self._last is not None
        chosen = self._last.gather(1, input_ids[:, -1:])[:, 0] - self._last.logsumexp(dim=1)
        self.sequences = input_ids
        self.logprobs.append(chosen.cpu())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
