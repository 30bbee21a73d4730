from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from hf_asr_endpoint.units import N_TIMESTAMPS
from hf_asr_endpoint.whisper.checkpoint import tokenizer
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer

ALPHABETS = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x530), (0x5D0, 0x700), (0x900, 0x980), (0x3040, 0x3100)]
ALPHABETS += [(0x4E00, 0x4F00), (0xAC00, 0xAD00), (0x1F300, 0x1F650)]


@pytest.fixture(scope="module")
def base(base_directory: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_directory(base_directory)


@pytest.fixture(scope="module")
def tiny_en(tiny_en_directory: Path) -> WhisperTokenizer:
    return WhisperTokenizer.from_directory(tiny_en_directory)


@pytest.fixture(scope="module")
def backend(base_directory: Path) -> Tokenizer:
    """The library's own tokenizer of whisper-base, as the reference for text."""
    return Tokenizer.from_file(str(base_directory / "tokenizer.json"))


def test_multilingual_token_ids(base: WhisperTokenizer) -> None:
    assert (base.eot, base.sot, base.sot_prev) == (50257, 50258, 50361)
    assert (base.no_timestamps, base.timestamp_begin) == (50363, 50364)
    assert base.task_tokens == {"transcribe": 50359, "translate": 50358}


def test_english_only_token_ids(tiny_en: WhisperTokenizer) -> None:
    assert (tiny_en.eot, tiny_en.sot, tiny_en.sot_prev) == (50256, 50257, 50360)
    assert (tiny_en.no_timestamps, tiny_en.timestamp_begin) == (50362, 50363)


def test_language_tokens_are_found_in_the_vocabulary(base: WhisperTokenizer) -> None:
    assert len(base.language_tokens) == 99
    assert base.language_tokens["en"] == 50259
    assert base.language_tokens["haw"] == 50352
    assert base.language_tokens.keys() == LANGUAGE_NAMES.keys() - {"yue"}  # Cantonese was added in large-v3.


@pytest.mark.parametrize("text", [" Hello, world!", " Grüße aus Köln", " 你好，世界", " नमस्ते 🙂", "", " a\nb  c"])
def test_text_round_trips(base: WhisperTokenizer, backend: Tokenizer, text: str) -> None:
    assert base.decode(backend.encode(text, add_special_tokens=False).ids) == text


def test_decode_leaves_out_special_and_timestamp_tokens(base: WhisperTokenizer, backend: Tokenizer) -> None:
    begin = base.timestamp_begin
    hello, world = (backend.encode(text, add_special_tokens=False).ids for text in (" Hello", " world"))
    prompt = [base.sot_prev, base.sot, base.language_tokens["en"], base.task_tokens["transcribe"]]
    tokens = [*prompt, base.no_timestamps, begin, *hello, begin + 100, begin + 100, *world]
    assert base.decode([*tokens, begin + N_TIMESTAMPS - 1, base.eot, base.eot]) == " Hello world"


def test_decode_keeps_text_that_looks_like_a_special_token(base: WhisperTokenizer, backend: Tokenizer) -> None:
    tokens = [token for part in ("<", "|en|", ">") for token in backend.encode(part, add_special_tokens=False).ids]
    assert base.decode(tokens) == "<|en|>"


def test_incomplete_character_decodes_to_the_replacement_character(
    base: WhisperTokenizer, backend: Tokenizer
) -> None:
    tokens = backend.encode("🙂", add_special_tokens=False).ids
    assert len(tokens) > 1
    assert base.decode(tokens[:1]) == "\N{REPLACEMENT CHARACTER}"


def test_files_of_slow_tokenizers_are_read(base_directory: Path, base: WhisperTokenizer, tmp_path: Path) -> None:
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


def test_special_tokens_are_read_from_tokenizer_config(
    base_directory: Path, base: WhisperTokenizer, tmp_path: Path
) -> None:
    """Some checkpoints have them only there, where transformers reads them too."""
    content = json.loads((base_directory / "tokenizer.json").read_bytes())
    config = json.loads((base_directory / "tokenizer_config.json").read_bytes())
    added = content.pop("added_tokens")
    config["added_tokens_decoder"] = {str(token.pop("id")): token for token in added}
    (tmp_path / "config.json").symlink_to(base_directory / "config.json")
    (tmp_path / "tokenizer.json").write_text(json.dumps({**content, "added_tokens": []}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = WhisperTokenizer.from_directory(tmp_path)
    assert (found.eot, found.sot, found.no_timestamps) == (base.eot, base.sot, base.no_timestamps)
    assert found.language_tokens == base.language_tokens


def test_text_is_neither_truncated_nor_padded(
    base_directory: Path, base: WhisperTokenizer, tmp_path: Path
) -> None:
    """Fine-tuning may leave the length of its batches in tokenizer.json."""
    backend = Tokenizer.from_file(str(base_directory / "tokenizer.json"))
    backend.enable_truncation(5)
    backend.enable_padding(length=20)
    backend.save(str(tmp_path / "tokenizer.json"))
    found = WhisperTokenizer.from_directory(tmp_path)
    for text in ("short", "a text that has more than five tokens in it"):
        assert found.encode(text) == base.encode(text)


@pytest.mark.parametrize("name", ["base_directory", "tiny_en_directory"])
def test_encoding_and_decoding_equal_those_of_transformers(name: str, request: pytest.FixtureRequest) -> None:
    """transformers reads more files and builds its tokenizer from the vocabulary."""
    directory: Path = request.getfixturevalue(name)
    own, expected = WhisperTokenizer.from_directory(directory), AutoTokenizer.from_pretrained(directory)
    vocabulary = expected.get_vocab()
    assert Tokenizer.from_file(str(directory / "tokenizer.json")).get_vocab() == vocabulary
    rng = random.Random(7)
    for _ in range(300):
        text = "".join(chr(rng.choice((32, *range(*rng.choice(ALPHABETS))))) for _ in range(30))
        tokens = [token for token in expected(text, add_special_tokens=False).input_ids if token < own.eot]
        assert own.encode(text) == tokens
        some = rng.choices(range(own.eot), k=30)
        for known in (tokens, some):
            assert own.decode(known) == expected.decode(known, clean_up_tokenization_spaces=False)


def test_token_bytes_equal_those_of_transformers(base: WhisperTokenizer, backend: Tokenizer) -> None:
    known = {character: byte for byte, character in bytes_to_unicode().items()}
    assert len(known) == 256
    for character, byte in known.items():
        token = backend.token_to_id(character)
        assert base.token_bytes(token) == bytes([byte])


def test_unknown_token_has_no_bytes(base: WhisperTokenizer) -> None:
    with pytest.raises(KeyError):
        base.token_bytes(60_000)


def test_missing_special_tokens_are_named(backend: Tokenizer) -> None:
    content = json.loads(backend.to_str())
    removed = ("<|notimestamps|>", "<|startofprev|>")
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in removed]
    with pytest.raises(ValueError, match=r"lacks the special tokens <\|startofprev\|>, <\|notimestamps\|>$"):
        WhisperTokenizer(Tokenizer.from_str(json.dumps(content)))


def test_error_in_a_complete_tokenizer_is_not_hidden(
    base_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any KeyError used to count as a missing special token, after which transformers read the files again."""

    def fail(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(tokenizer, "_byte_values", fail)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda _: pytest.fail("transformers was used"))
    with pytest.raises(KeyError, match="a bug"):
        WhisperTokenizer.from_directory(base_directory)


@pytest.mark.parametrize("text", ["\ud800", "before \udfff after", "\udc80\ud800"])
def test_lone_surrogate_is_refused_by_name(base: WhisperTokenizer, text: str) -> None:
    """The library raised TypeError, which became status 500."""
    with pytest.raises(
        InvalidParameter, match=r"the lone surrogate U\+D[89A-F]\w\w; allowed: text that UTF-8 can"
    ):
        base.encode(text)


def test_characters_outside_the_basic_plane_are_encoded(base: WhisperTokenizer) -> None:
    text = "\N{OLD ITALIC LETTER A}\N{GRINNING FACE}"
    assert base.decode(base.encode(text)) == text
