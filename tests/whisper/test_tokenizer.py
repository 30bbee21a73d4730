from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.units import N_TIMESTAMPS
from hf_asr_endpoint.whisper.tokenizer import WhisperTokenizer


@pytest.fixture(scope="module")
def base(base_directory: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_directory(base_directory)


@pytest.fixture(scope="module")
def tiny_en(tiny_en_directory: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_directory(tiny_en_directory)


@pytest.fixture(scope="module")
def backend(base_directory: Path) -> Tokenizer:
    """The tokenizer of whisper-base in the library's own words, as the reference for text."""
    return Tokenizer.from_file(str(base_directory / "tokenizer.json"))


def test_multilingual_token_ids(base: WhisperTokenizer) -> None:
    assert (base.eot, base.sot, base.sot_prev) == (50257, 50258, 50361)
    assert (base.no_timestamps, base.timestamp_begin) == (50363, 50364)
    assert base.task_tokens == {"transcribe": 50359, "translate": 50358}


def test_english_only_token_ids(tiny_en: WhisperTokenizer) -> None:
    assert (tiny_en.eot, tiny_en.sot, tiny_en.sot_prev) == (50256, 50257, 50360)
    assert (tiny_en.no_timestamps, tiny_en.timestamp_begin) == (50362, 50363)


def test_languages_are_those_of_the_vocabulary(base: WhisperTokenizer) -> None:
    assert len(base.language_tokens) == 99
    assert base.language_tokens["en"] == 50259
    assert base.language_tokens["haw"] == 50352
    assert base.language_tokens.keys() == LANGUAGE_NAMES.keys() - {"yue"}  # Cantonese came with large-v3.


@pytest.mark.parametrize("text", [" Hello, world!", " Grüße aus Köln", " 你好，世界", " नमस्ते 🙂", "", " a\nb  c"])
def test_text_survives_encoding_and_decoding(base: WhisperTokenizer, backend: Tokenizer, text: str) -> None:
    assert base.decode(backend.encode(text, add_special_tokens=False).ids) == text


def test_special_and_timestamp_tokens_are_left_out(base: WhisperTokenizer, backend: Tokenizer) -> None:
    begin = base.timestamp_begin
    hello, world = (backend.encode(text, add_special_tokens=False).ids for text in (" Hello", " world"))
    prompt = [base.sot_prev, base.sot, base.language_tokens["en"], base.task_tokens["transcribe"]]
    tokens = [*prompt, base.no_timestamps, begin, *hello, begin + 100, begin + 100, *world]
    assert base.decode([*tokens, begin + N_TIMESTAMPS - 1, base.eot, base.eot]) == " Hello world"


def test_text_that_looks_like_a_special_token_is_kept(base: WhisperTokenizer, backend: Tokenizer) -> None:
    tokens = [token for part in ("<", "|en|", ">") for token in backend.encode(part, add_special_tokens=False).ids]
    assert base.decode(tokens) == "<|en|>"


def test_half_a_character_is_no_error(base: WhisperTokenizer, backend: Tokenizer) -> None:
    tokens = backend.encode("🙂", add_special_tokens=False).ids
    assert len(tokens) > 1
    assert base.decode(tokens[:1]) == "\N{REPLACEMENT CHARACTER}"


def test_slow_tokenizer_files_are_read(base_directory: Path, base: WhisperTokenizer, tmp_path: Path) -> None:
    """Older fine-tuned checkpoints have vocab.json, merges.txt and added_tokens.json instead of tokenizer.json."""
    content = json.loads((base_directory / "tokenizer.json").read_bytes())
    merges = (merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"])
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    (tmp_path / "vocab.json").write_text(json.dumps(content["model"]["vocab"]))
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).symlink_to(base_directory / name)
    slow = WhisperTokenizer.from_directory(tmp_path)
    assert (slow.eot, slow.sot, slow.no_timestamps) == (base.eot, base.sot, base.no_timestamps)
    assert slow.language_tokens == base.language_tokens
    assert slow.decode([2425, 11, 1002, 0]) == base.decode([2425, 11, 1002, 0])


def test_vocabulary_without_whispers_tokens_is_refused(backend: Tokenizer) -> None:
    content = json.loads(backend.to_str())
    content["added_tokens"] = [
        token for token in content["added_tokens"] if token["content"] != "<|notimestamps|>"
    ]
    with pytest.raises(KeyError, match=r"<\|notimestamps\|>"):
        WhisperTokenizer(Tokenizer.from_str(json.dumps(content)))
