"""Small models with random weights that are told a language or asked with a prompt, as in their repositories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CanaryConfig,
    CanaryForConditionalGeneration,
    CanaryProcessor,
    GenerationConfig,
    GlmAsrConfig,
    GlmAsrForConditionalGeneration,
    GlmAsrProcessor,
    GraniteSpeechConfig,
    GraniteSpeechFeatureExtractor,
    GraniteSpeechForConditionalGeneration,
    GraniteSpeechProcessor,
    ParakeetFeatureExtractor,
    PreTrainedTokenizerFast,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRProcessor,
    SeamlessM4TConfig,
    SeamlessM4TFeatureExtractor,
    SeamlessM4TForSpeechToText,
    SeamlessM4Tv2Config,
    SeamlessM4Tv2ForSpeechToText,
    WhisperFeatureExtractor,
)

from tests.transformers_models.small_models import SEED, word_tokenizer

N_WORDS_SAID = 8
STD = 1.0  # of weights: with transformers' own, all inputs would give one text.
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "initializer_range": STD,
}
TEXT_SIZES = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 2048}
SEAMLESS_CODES = ("eng", "deu", "cmn", "cmn_Hant", "gle")

QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }} {% for part in message.content %}"
    "{% if part.type == 'audio' %}<|audio_start|><|audio_pad|><|audio_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% if not loop.last %}<|im_end|>{% endif %}{% endfor %}"
)
GLM_TEMPLATE = (
    "{% for message in messages %}<|user|>{% for part in message.content %}"
    "{% if part.type == 'audio' %}<|audio|>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
    "<|assistant|>"
)
GRANITE_TEMPLATE = "{% for message in messages %}<|user|>{{ message.content }}{% endfor %}<|assistant|>"
CANARY_TEMPLATE = (
    "{% for message in messages %}{% for part in message.content %}{% if part.type == 'text' %}<|start|>"
    "<|{{ part.source_language }}|><|{{ part.target_language }}|>{% endif %}{% endfor %}{% endfor %}"
)


def write_seamless(directory: Path, *, version: int) -> Path:
    """Write SeamlessM4T's part for text. Its second version has other positions."""
    torch.manual_seed(SEED)
    tokenizer = word_tokenizer(extra_special_tokens=[f"__{code}__" for code in SEAMLESS_CODES])
    kinds = (SeamlessM4TConfig, SeamlessM4TForSpeechToText), (SeamlessM4Tv2Config, SeamlessM4Tv2ForSpeechToText)
    config_class, model_class = kinds[version - 1]
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        speech_encoder_layers=1,
        speech_encoder_attention_heads=2,
        speech_encoder_intermediate_size=64,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        initializer_range=STD,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    model = model_class(config)
    codes = {code: tokenizer.convert_tokens_to_ids(f"__{code}__") for code in SEAMLESS_CODES}
    return _write(directory, model, tokenizer, SeamlessM4TFeatureExtractor(), text_decoder_lang_to_code_id=codes)


def write_granite(directory: Path) -> Path:
    torch.manual_seed(SEED)
    tokenizer = word_tokenizer(extra_special_tokens=["<|audio|>", "<|user|>", "<|assistant|>"])
    config = GraniteSpeechConfig(
        text_config={**TEXT_SIZES, "model_type": "granite", "vocab_size": len(tokenizer)},
        encoder_config={"num_layers": 1, "hidden_dim": 32, "num_heads": 2, "output_dim": 8},
        projector_config={**SIZES, "model_type": "blip_2_qformer", "encoder_hidden_size": 32},
        audio_token_index=tokenizer.convert_tokens_to_ids("<|audio|>"),
        has_lora_adapter=False,
        initializer_range=STD,
    )
    processor = GraniteSpeechProcessor(GraniteSpeechFeatureExtractor(), tokenizer, chat_template=GRANITE_TEMPLATE)
    tokenizer.chat_template = GRANITE_TEMPLATE
    return _write(directory, GraniteSpeechForConditionalGeneration(config), tokenizer, processor)


def write_qwen(directory: Path) -> Path:
    torch.manual_seed(SEED)
    controls = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>"}
    controls |= {
        "audio_eos_token": "<|audio_end|>",
        "start": "<|im_start|>",
        "end": "<|im_end|>",
        "text": "<asr_text>",
    }
    tokenizer = word_tokenizer(extra_special_tokens=controls)
    config = Qwen3ASRConfig(
        text_config={**TEXT_SIZES, "model_type": "qwen3", "vocab_size": len(tokenizer), "head_dim": 16},
        audio_config={
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "d_model": 32,
            "output_dim": 32,
            "downsample_hidden_size": 16,
        },
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio_pad|>"),
        pad_token_id=0,
        eos_token_id=2,
    )
    processor = Qwen3ASRProcessor(Qwen3ASRFeatureExtractor(), tokenizer, chat_template=QWEN_TEMPLATE)
    return _write(directory, Qwen3ASRForConditionalGeneration(config), tokenizer, processor)


def write_glm(directory: Path) -> Path:
    torch.manual_seed(SEED)
    tokenizer = word_tokenizer(extra_special_tokens=["<|audio|>", "<|user|>", "<|assistant|>"])
    config = GlmAsrConfig(
        text_config={**TEXT_SIZES, "model_type": "llama", "vocab_size": len(tokenizer), "eos_token_id": 2},
        audio_config={**SIZES, "intermediate_size": 128},
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio|>"),
    )
    processor = GlmAsrProcessor(
        WhisperFeatureExtractor(feature_size=128), tokenizer, chat_template=GLM_TEMPLATE, audio_token="<|audio|>"
    )
    return _write(directory, GlmAsrForConditionalGeneration(config), tokenizer, processor)


def write_canary(directory: Path) -> Path:
    torch.manual_seed(SEED)
    tokenizer = word_tokenizer(extra_special_tokens=["<|start|>", "<|en|>", "<|de|>"])
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = CanaryConfig(
        encoder_config={**SIZES, "subsampling_conv_channels": 16, "num_mel_bins": 128},
        decoder_config={**TEXT_SIZES, **ids, "vocab_size": len(tokenizer), "head_dim": 16},
        vocab_size=len(tokenizer),
        decoder_start_token_id=tokenizer.convert_tokens_to_ids("<|start|>"),
        initializer_range=STD,
        **ids,
    )
    processor = CanaryProcessor(
        ParakeetFeatureExtractor(feature_size=128), tokenizer, chat_template=CANARY_TEMPLATE
    )
    return _write(directory, CanaryForConditionalGeneration(config), tokenizer, processor)


def _write(
    directory: Path, model: Any, tokenizer: PreTrainedTokenizerFast, processor: Any, **more: object
) -> Path:
    """Write a model that says some words, whatever it hears. more: of its generation config."""
    model.generation_config = GenerationConfig(
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
        suppress_tokens=sorted(tokenizer.all_special_ids),
        max_new_tokens=N_WORDS_SAID,
        **more,
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory
