"""Loads a directory as whichever kind of model its config.json says, with accelerate's placement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForCTC,
    AutoModelForMultimodalLM,
    AutoModelForRNNT,
    AutoModelForSpeechSeq2Seq,
    AutoModelForTDT,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CTC_MAPPING,
    MODEL_FOR_MULTIMODAL_LM_MAPPING,
    MODEL_FOR_RNNT_MAPPING,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
    MODEL_FOR_TDT_MAPPING,
)
from transformers.utils import logging as transformers_logging
from transformers.utils.import_utils import is_accelerate_available, is_peft_available

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.setting_types import Device, Dtype
from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.ctc import CtcFamily
from hf_asr_endpoint.transformers_models.family import Family
from hf_asr_endpoint.transformers_models.model_languages import ModelLanguages
from hf_asr_endpoint.transformers_models.packing import pack_vocabulary
from hf_asr_endpoint.transformers_models.prompted import PROMPT_FORMS, PromptedFamily
from hf_asr_endpoint.transformers_models.seq2seq import Seq2SeqFamily
from hf_asr_endpoint.transformers_models.transducer import TransducerFamily
from hf_asr_endpoint.transformers_models.whisper import TransformersWhisper
from hf_asr_endpoint.types import ModelInfo
from hf_asr_endpoint.units import MAX_TARGET_POSITIONS, N_POSITIONS
from hf_asr_endpoint.whisper.checkpoint.config import MIN_MULTILINGUAL_VOCAB_SIZE
from hf_asr_endpoint.whisper.checkpoint.failures import translate_read_errors
from hf_asr_endpoint.whisper.checkpoint.loader import choose_device
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.threads import N_CORES, use_one_core

_CLASSES: tuple[tuple[Mapping[Any, Any], Any], ...] = (
    (MODEL_FOR_CTC_MAPPING, AutoModelForCTC),
    (MODEL_FOR_TDT_MAPPING, AutoModelForTDT),
    (MODEL_FOR_RNNT_MAPPING, AutoModelForRNNT),
    (MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING, AutoModelForSpeechSeq2Seq),
    (MODEL_FOR_MULTIMODAL_LM_MAPPING, AutoModelForMultimodalLM),
)

_OWN_FORM = "answers in a form of its own, with speakers and times"
_OWN_WORDS = "needs a prompt of its own beside the audio"

NOT_SERVED: Mapping[str, str] = {
    **dict.fromkeys(("moss_transcribe_diarize", "nemo_speechlm", "vibevoice_asr"), _OWN_FORM),
    **dict.fromkeys(("cohere_asr", "fun_asr_nano", "phi4_multimodal", "qwen2_audio"), _OWN_WORDS),
    **dict.fromkeys(("qwen2_5_omni", "qwen3_omni_moe"), _OWN_WORDS),
    **dict.fromkeys(("voxtral", "voxtral_realtime"), "has a prompt that mistral-common makes, not transformers"),
    **dict.fromkeys(("dia", "pop2piano", "vibevoice"), "makes sound and no text"),
    "kyutai_speech_to_text": "reads a codec's tokens instead of a waveform",
}
"""Kinds of models that are in transformers' tables of speech recognition and are not served."""

_SEAMLESS = ("seamless_m4t", "seamless_m4t_v2")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model of transformers. whisper and tokenizer: where it is one; else `family` is what it does."""

    info: ModelInfo
    family: Family | None = None
    whisper: TransformersWhisper | None = None
    tokenizer: WhisperTokenizer | None = None


def load_transformers_model(directory: Path, *, device: Device, dtype: Dtype) -> LoadedModel:
    """Load a directory in transformers' format. Quantised checkpoints are loaded as their configuration says.

    device: "auto" leaves the placement on several accelerators to accelerate, if that is installed. dtype "auto":
    float32 on a CPU, float16 elsewhere. Raises ModelUnavailable, also where a package is missing.
    """
    if dtype == "int8":
        raise ModelUnavailable(
            "dtype int8 is for the native engine; allowed with the transformers engine: auto, float32, bfloat16, "
            "float16, or a checkpoint that is quantised itself"
        )
    use_one_core()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    place = choose_device(device)
    with translate_read_errors(f"the model in {directory}"), _naming_packages(directory):
        config = AutoConfig.from_pretrained(directory)
        model_class = _model_class(config, directory)
        chosen = _dtype(dtype, place)
        model = _read_weights(model_class, directory, device=device, place=place, dtype=chosen)
        # Whoever quantises wants little memory.
        packed_bytes = 0 if hasattr(config, "quantization_config") else pack_vocabulary(model)
        info = ModelInfo(
            engine="transformers",
            device=model.device.type,
            dtype=_precision(model, chosen),
            is_multilingual=False,
            n_threads=N_CORES,
            memory_bytes=model.get_memory_footprint() + packed_bytes,
        )
        if config.model_type == "whisper":
            return _whisper(model, directory, info)
        family = _family(model, directory, chosen)
        languages = family.languages
        return LoadedModel(
            info=replace(info, is_multilingual=len(languages) > 1, languages=languages), family=family
        )


def _read_weights(
    model_class: Any, directory: Path, *, device: Device, place: torch.device, dtype: torch.dtype
) -> Any:
    """Return the model on its device. Only accelerate can place it on several, and load what is quantised."""
    if is_accelerate_available():
        device_map = "auto" if device == "auto" and place.type == "cuda" else place.type
        return model_class.from_pretrained(directory, dtype=dtype, device_map=device_map).eval()
    return model_class.from_pretrained(directory, dtype=dtype).eval().to(place)


def _model_class(config: Any, directory: Path) -> Any:
    kind = config.model_type
    if kind not in NOT_SERVED:
        for mapping, model_class in _CLASSES:
            if type(config) in mapping:
                return model_class
    raise ModelUnavailable(
        f"the model in {directory} is of type {kind!r:.100}, which "
        f"{NOT_SERVED.get(kind, 'does not recognise speech')}; allowed: Whisper, CTC models such as wav2vec2 and "
        "Parakeet, transducers, models that decode audio to text, such as Moonshine and SeamlessM4T, and "
        f"{', '.join(PROMPT_FORMS)}"
    )


@contextmanager
def _naming_packages(directory: Path) -> Iterator[None]:
    """Raise ModelUnavailable where transformers misses a package, which its own errors name."""
    if (directory / "adapter_config.json").exists() and not is_peft_available():
        raise ModelUnavailable(
            f"the model in {directory} has an adapter, and peft, which loads it, is not installed: "
            "pip install peft"
        )
    try:
        yield
    except ImportError as exc:
        reason = " ".join(str(exc).split())
        raise ModelUnavailable(
            f"the model in {directory} needs a package that is not installed; install it and start again. "
            f"transformers says: {reason:.300}"
        ) from exc


def _whisper(model: Any, directory: Path, info: ModelInfo) -> LoadedModel:
    for name, allowed in (
        ("max_source_positions", N_POSITIONS),
        ("max_target_positions", MAX_TARGET_POSITIONS),
    ):
        if (given := getattr(model.config, name)) != allowed:
            raise ModelUnavailable(
                f"the Whisper model in {directory} has {name} = {given}; allowed: {allowed}, as in all of OpenAI's"
            )
    is_multilingual = model.config.vocab_size >= MIN_MULTILINGUAL_VOCAB_SIZE
    tokenizer = WhisperTokenizer.from_directory(directory)
    return LoadedModel(
        info=replace(info, is_multilingual=is_multilingual, n_mels=model.config.num_mel_bins),
        whisper=TransformersWhisper(model, tokenizer, is_multilingual=is_multilingual),
        tokenizer=tokenizer,
    )


def _family(model: Any, directory: Path, dtype: torch.dtype) -> Family:
    kind, config = model.config.model_type, type(model.config)
    if kind in PROMPT_FORMS:
        processor = AutoProcessor.from_pretrained(directory)
        extractor = getattr(processor, "feature_extractor", None) or processor.audio_processor
        return PromptedFamily(model, processor, AudioInput(extractor, device=model.device, dtype=dtype))
    extractor = AutoFeatureExtractor.from_pretrained(directory)
    audio = AudioInput(extractor, device=model.device, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    masks_padding = bool(getattr(extractor, "return_attention_mask", True))
    if config in MODEL_FOR_CTC_MAPPING:
        return CtcFamily(model, tokenizer, audio, masks_padding=masks_padding)
    if config in MODEL_FOR_TDT_MAPPING or config in MODEL_FOR_RNNT_MAPPING:
        return TransducerFamily(model, tokenizer, audio)
    targets = _target_languages(model, directory) if kind in _SEAMLESS else None
    return Seq2SeqFamily(model, tokenizer, audio, masks_padding=masks_padding, target_languages=targets)


def _target_languages(model: Any, directory: Path) -> ModelLanguages:
    codes = getattr(model.generation_config, "text_decoder_lang_to_code_id", None)
    if not codes:
        raise ModelUnavailable(
            f"the generation_config.json in {directory} has no text_decoder_lang_to_code_id, the languages that "
            "the model writes; copy or download it again"
        )
    return ModelLanguages.of(f"this {model.config.model_type} model", codes)


def _precision(model: Any, computed: torch.dtype) -> str:
    """Return what `/info` shows, such as "float32", or "bitsandbytes, float32" for a quantised checkpoint."""
    name = str(computed).removeprefix("torch.")
    quantization = getattr(model.config, "quantization_config", None)
    if quantization is None:
        return name
    method = quantization["quant_method"] if isinstance(quantization, dict) else quantization.quant_method
    return f"{getattr(method, 'value', method)}, {name}"


def _dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    if dtype != "auto":
        chosen: torch.dtype = getattr(torch, dtype)
        return chosen
    return torch.float32 if device.type == "cpu" else torch.float16
