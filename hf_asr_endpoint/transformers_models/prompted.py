"""Models that are asked with a prompt, such as Granite Speech, Qwen3-ASR and Canary, and write the text after it.

Their processor makes the prompt: of a request for a transcription where it has that, else of an instruction in
words. They have the options of `generate`, and tell no times.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import torch

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.messages import quote
from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.family import ChunkInContext, ChunkText, HaveLeft, one_by_one
from hf_asr_endpoint.transformers_models.generation import TextGenerator
from hf_asr_endpoint.transformers_models.limits import GENERATION, Abilities, check_options
from hf_asr_endpoint.transformers_models.model_languages import ENGLISH, ModelLanguages
from hf_asr_endpoint.transformers_models.seq2seq import plain_text
from hf_asr_endpoint.types import TranscriptionOptions, Waveform

MAX_PROMPT_CHARACTERS = 2_000
"""The whole prompt is fed before each chunk, in addition to up to 30 s of audio."""


class PromptForm(Protocol):
    """How a kind of model is asked, and what it can be asked for."""

    @property
    def options(self) -> frozenset[str]:
        """Names of fields of TranscriptionOptions that it follows."""
        ...

    @property
    def needs_language(self) -> bool: ...

    @property
    def masks_padding(self) -> bool:
        """Whether a chunk's text is the same beside a longer chunk."""
        ...

    def inputs(
        self, processor: Any, waveforms: list[Waveform], options: TranscriptionOptions, codes: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Return arguments of the model's `generate`. codes: the model's own for languages."""
        ...

    def read(self, processor: Any, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of rows of tokens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """A PromptForm: words after the audio, in the chat template of a model without attention masks for audio."""

    transcribe: str
    translate: str
    needs_language = False
    masks_padding = False
    options = frozenset({"task"})

    def inputs(
        self, processor: Any, waveforms: list[Waveform], options: TranscriptionOptions, codes: Mapping[str, str]
    ) -> Mapping[str, Any]:
        words = self.translate if options.task == "translate" else self.transcribe
        chat = [{"role": "user", "content": f"{processor.audio_token}{words}"}]
        prompt = processor.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        made: Mapping[str, Any] = processor([prompt] * len(waveforms), waveforms, return_tensors="pt")
        return made

    def read(self, processor: Any, rows: Sequence[Sequence[int]]) -> list[str]:
        texts: list[str] = processor.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return texts


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRequest:
    """A PromptForm: the request that a processor itself makes.

    language, target, prompt: what it calls them; None where it has none. target: the language of the text, where
    that is another one. reading: more arguments of its `decode`.
    """

    language: str | None = None
    target: str | None = None
    prompt: str | None = None
    needs_language: bool = False
    reading: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    masks_padding = True

    @property
    def options(self) -> frozenset[str]:
        named = {"language": self.language, "task": self.target, "prompt": self.prompt}
        return frozenset(option for option, name in named.items() if name is not None)

    def inputs(
        self, processor: Any, waveforms: list[Waveform], options: TranscriptionOptions, codes: Mapping[str, str]
    ) -> Mapping[str, Any]:
        arguments: dict[str, Any] = {}
        if self.language is not None and options.language is not None:
            arguments[self.language] = codes[options.language]
        if self.target is not None and options.task == "translate":
            arguments[self.target] = codes[ENGLISH]
        if self.prompt is not None and options.prompt is not None:
            arguments[self.prompt] = options.prompt
        made: Mapping[str, Any] = processor.apply_transcription_request(waveforms, **arguments)
        return made

    def read(self, processor: Any, rows: Sequence[Sequence[int]]) -> list[str]:
        texts: list[str] = processor.decode(rows, skip_special_tokens=True, **self.reading)
        return texts


_GRANITE = Instruction(
    transcribe="can you transcribe the speech into a written format?",
    translate="can you translate the speech to English?",
)

PROMPT_FORMS: Mapping[str, PromptForm] = {
    "canary": TranscriptionRequest(language="source_language", target="target_language", needs_language=True),
    "glmasr": TranscriptionRequest(),
    "granite_speech": _GRANITE,
    "granite_speech_plus": _GRANITE,
    "qwen3_asr": TranscriptionRequest(
        language="language", prompt="prompt", reading={"return_format": "transcription_only"}
    ),
}
"""By the type of model in config.json. The words for Granite Speech are those of its model card."""


class PromptedFamily:
    """A Family."""

    context_s = 0.0

    def __init__(self, model: Any, processor: Any, audio: AudioInput) -> None:
        """model: of a kind in PROMPT_FORMS."""
        self._form = PROMPT_FORMS[model.config.model_type]
        self._generator = TextGenerator(model)
        self._processor = processor
        self._audio = audio
        self._special = set(processor.tokenizer.all_special_ids)
        self._controls = sorted(processor.tokenizer.get_added_vocab())
        name = f"this {model.config.model_type} model"
        self._languages = ModelLanguages.of(name, _language_codes(processor))
        self.languages = tuple(self._languages.codes) if "language" in self._form.options else ()
        self._abilities = Abilities(name=name, options=GENERATION | self._form.options, samples=True)

    def check(self, options: TranscriptionOptions) -> None:
        check_options(options, self._abilities)
        self._generator.check(options.decoding)
        if "language" in self._form.options:
            self._languages.check(options, is_required=self._form.needs_language)
        if options.prompt is not None:
            self._check_prompt(options.prompt)

    @torch.inference_mode()
    def transcribe(
        self, chunks: Sequence[ChunkInContext], options: TranscriptionOptions, *, have_left: HaveLeft
    ) -> list[ChunkText]:
        def transcribe(some: Sequence[ChunkInContext], left: HaveLeft) -> list[ChunkText]:
            return self._transcribe(some, options, left)

        if self._form.masks_padding:
            return transcribe(chunks, have_left)
        return one_by_one(transcribe, chunks, have_left)

    def _transcribe(
        self, chunks: Sequence[ChunkInContext], options: TranscriptionOptions, have_left: HaveLeft
    ) -> list[ChunkText]:
        waveforms = self._audio.resample([each.chunk.waveform for each in chunks])
        made = self._form.inputs(self._processor, waveforms, options, self._languages.codes)
        inputs = self._audio.move(made)
        prompt = inputs.get("decoder_input_ids", inputs.get("input_ids"))
        assert prompt is not None
        rows = self._generator.generate(inputs, options.decoding, n_prompt=prompt.shape[1], have_left=have_left)
        texts = self._form.read(self._processor, rows)
        return [plain_text(text, row, special=self._special) for row, text in zip(rows, texts, strict=True)]

    def _check_prompt(self, prompt: str) -> None:
        """Control tokens in a client's text would part the prompt, or stand for more audio than there is."""
        if len(prompt) > MAX_PROMPT_CHARACTERS:
            raise InvalidParameter(
                f"prompt has {len(prompt)} characters; allowed: up to {MAX_PROMPT_CHARACTERS}", parameter="prompt"
            )
        for control in self._controls:
            if control in prompt:
                raise InvalidParameter(
                    f"prompt is {quote(prompt)}; allowed: texts without {control!r}, which is a token of "
                    f"{self._abilities.name}",
                    parameter="prompt",
                )


def _language_codes(processor: Any) -> Sequence[str]:
    """Return the languages that a processor's module lists, by its own codes."""
    module = importlib.import_module(type(processor).__module__)
    return list(getattr(module, "LANGUAGE_CODE_TO_NAME", ()))
