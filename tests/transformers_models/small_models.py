"""Small models with real architectures and random weights, written as their users' repositories have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertLMHeadModel,
    BitsAndBytesConfig,
    GenerationConfig,
    MoonshineConfig,
    MoonshineForConditionalGeneration,
    ParakeetFeatureExtractor,
    ParakeetForTDT,
    ParakeetTDTConfig,
    PreTrainedTokenizerFast,
    SpeechEncoderDecoderModel,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "|")
N_WORDS = 40
SEED = 3


def write_ctc(directory: Path, *, sample_rate: int = 16_000, masks_padding: bool = True) -> Path:
    """Write a wav2vec2 with a vocabulary of letters. Without masks it is of the older kind, with group norms."""
    torch.manual_seed(SEED)
    Wav2Vec2ForCTC(_wav2vec2_config(masks_padding=masks_padding)).save_pretrained(directory)
    letter_tokenizer(directory).save_pretrained(directory)
    _extractor(sample_rate, masks_padding=masks_padding).save_pretrained(directory)
    return directory


def letter_tokenizer(directory: Path) -> Wav2Vec2CTCTokenizer:
    """Return a tokenizer of letters, whose vocabulary is written into a directory."""
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *LETTERS))}
    (directory / "vocab.json").write_text(json.dumps(vocabulary))
    return Wav2Vec2CTCTokenizer(str(directory / "vocab.json"), pad_token="<pad>", word_delimiter_token="|")


def write_moonshine(directory: Path) -> Path:
    torch.manual_seed(SEED)
    config = MoonshineConfig(
        vocab_size=len(_words()),
        hidden_size=32,
        intermediate_size=64,
        encoder_num_hidden_layers=1,
        decoder_num_hidden_layers=1,
        encoder_num_attention_heads=2,
        decoder_num_attention_heads=2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        decoder_start_token_id=1,
    )
    model = MoonshineForConditionalGeneration(config)
    model.generation_config.max_length = 12
    model.generation_config.suppress_tokens = [0, 1, 2, 3]  # Its random weights would say nothing else.
    model.save_pretrained(directory)
    _extractor(16_000, masks_padding=True).save_pretrained(directory)
    word_tokenizer().save_pretrained(directory)
    return directory


def write_encoder_decoder(directory: Path) -> Path:
    """Write a SpeechEncoderDecoder: wav2vec2 and a decoder of BERT's kind, without a length in its config."""
    torch.manual_seed(SEED)
    decoder = BertConfig(
        vocab_size=len(_words()),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        is_decoder=True,
        add_cross_attention=True,
    )
    model = SpeechEncoderDecoderModel(
        encoder=Wav2Vec2Model(_wav2vec2_config(masks_padding=True)), decoder=BertLMHeadModel(decoder)
    )
    for name, value in (("decoder_start_token_id", 1), ("pad_token_id", 0), ("eos_token_id", 2)):
        setattr(model.config, name, value)
        setattr(model.generation_config, name, value)
    model.save_pretrained(directory)
    _extractor(16_000, masks_padding=True).save_pretrained(directory)
    word_tokenizer().save_pretrained(directory)
    return directory


def write_other_whisper(directory: Path, original: Path) -> Path:
    """Write a copy of a Whisper with an activation that the native engine lacks, and that changes little."""
    directory.mkdir()
    for path in original.iterdir():
        if path.name != "config.json":
            (directory / path.name).symlink_to(path)
    config = json.loads((original / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "activation_function": "gelu_new"}))
    return directory


def write_int8_whisper(directory: Path, original: Path) -> Path:
    """Write a Whisper with its linear layers in int8, as bitsandbytes quantises them (arXiv 2208.07339)."""
    model = WhisperForConditionalGeneration.from_pretrained(
        original, quantization_config=BitsAndBytesConfig(load_in_8bit=True), device_map="cpu", dtype=torch.float32
    )
    model.save_pretrained(directory)
    for path in original.iterdir():
        if path.suffix == ".json" and not (directory / path.name).exists():
            (directory / path.name).symlink_to(path)
    return directory


def _wav2vec2_config(*, masks_padding: bool) -> Wav2Vec2Config:
    return Wav2Vec2Config(
        vocab_size=len(SPECIAL) + len(LETTERS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer" if masks_padding else "group",
        conv_bias=masks_padding,
        pad_token_id=0,
    )


def _extractor(sample_rate: int, *, masks_padding: bool) -> Wav2Vec2FeatureExtractor:
    return Wav2Vec2FeatureExtractor(
        sampling_rate=sample_rate, do_normalize=True, return_attention_mask=masks_padding
    )


def _words() -> list[str]:
    return ["<pad>", "<s>", "</s>", "<unk>", *(f"w{index}" for index in range(N_WORDS))]


def word_tokenizer(**more: Any) -> PreTrainedTokenizerFast:
    """Return a tokenizer of words such as "w7". more: of its arguments, such as further special tokens."""
    backend = Tokenizer(WordLevel({word: index for index, word in enumerate(_words())}, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        **more,
    )


def write_transducer(directory: Path) -> Path:
    """Write a Parakeet TDT, whose tokens last some frames each."""
    torch.manual_seed(SEED)
    encoder = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "subsampling_conv_channels": 16,
        "num_mel_bins": 80,
    }
    blank = len(_words())
    config = ParakeetTDTConfig(
        vocab_size=blank + 1,
        encoder_config=encoder,
        decoder_hidden_size=32,
        num_decoder_layers=1,
        blank_token_id=blank,
        pad_token_id=0,
    )
    model = ParakeetForTDT(config)
    model.generation_config.decoder_start_token_id = model.generation_config.bos_token_id = blank
    durations = range(config.vocab_size, config.vocab_size + len(config.durations))
    model.generation_config.suppress_tokens = list(durations)  # They share the logits with the tokens.
    model.save_pretrained(directory)
    ParakeetFeatureExtractor(feature_size=80).save_pretrained(directory)
    word_tokenizer().save_pretrained(directory)
    return directory


def write_multilingual_whisper(directory: Path, original: Path) -> Path:
    """Write a small random Whisper with the vocabulary of a multilingual one."""
    torch.manual_seed(SEED)
    directory.mkdir()
    for path in original.iterdir():
        if path.suffix == ".json" and path.name not in ("config.json", "generation_config.json"):
            (directory / path.name).symlink_to(path)
    config = WhisperConfig.from_pretrained(
        original,
        d_model=32,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=48,
        init_std=0.4,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig.from_pretrained(original, alignment_heads=None)
    model.save_pretrained(directory)
    return directory
