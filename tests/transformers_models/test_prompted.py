"""Models that are told a language or asked with a prompt, over HTTP: SeamlessM4T, Granite Speech, Canary, …"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import DATA
from tests.server import Server
from tests.transformers_models.conftest import HAS_TORCHAUDIO, TIMEOUT_S, loaded, post, transcribe
from tests.transformers_models.small_prompted_models import N_WORDS_SAID

SEAMLESS = ["seamless", "seamless-2"]
KINDS: dict[str, dict[str, str]] = {
    "seamless": {"language": "en"},
    "seamless-2": {"language": "en"},
    "granite": {},
    "qwen": {},
    "glm": {},
    "canary": {"language": "en"},
}
"""With what each must be told."""

needs_torchaudio = pytest.mark.skipif(not HAS_TORCHAUDIO, reason="needs torchaudio for this build of torch")
EACH_KIND = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[needs_torchaudio] if kind == "granite" else []) for kind in KINDS]
)


def text_of(server: Server, audio: bytes, **fields: Any) -> str:
    answer = post(server, audio, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["text"])


def refusal_of(server: Server, audio: bytes, **fields: Any) -> str:
    answer = post(server, audio, **fields)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["message"])


@EACH_KIND
def test_the_text_is_what_the_model_says_behind_its_prompt(served: Server, jfk: bytes, kind: str) -> None:
    verbose = post(served, jfk, model=kind, response_format="verbose_json", **KINDS[kind]).json()
    words = verbose["text"].split()
    assert len(words) == N_WORDS_SAID
    assert all(word.startswith("w") for word in words)
    (segment,) = verbose["segments"]
    assert len(segment["tokens"]) == N_WORDS_SAID
    assert 10 < segment["end"] <= 11
    assert verbose.get("language") == ("english" if KINDS[kind] else None)


@EACH_KIND
def test_hugging_faces_parameters_are_followed(served: Server, jfk: bytes, kind: str) -> None:
    query = {**KINDS[kind], "num_beams": "2", "max_new_tokens": "4"}
    answer = requests.post(f"{served.url}/models/{kind}", params=query, data=jfk, timeout=TIMEOUT_S)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["text"].split()) == 4


@EACH_KIND
def test_what_is_heard_matters_and_what_is_beside_it_does_not(
    directories: dict[str, Path], cache_dir: Path, kind: str
) -> None:
    """Chunks of several requests are computed side by side, or one by one where the model has no masks."""
    clips = [(DATA / name).read_bytes() for name in ("2414-128291-0009.flac", "3331-159605-0004.flac")]
    with loaded(directories[kind], cache_dir) as transcriber:

        async def together() -> list[str]:
            found = await asyncio.gather(*(transcribe(transcriber, clip, **KINDS[kind]) for clip in clips))
            return [each.text for each in found]

        side_by_side = asyncio.run(together())
        alone = [asyncio.run(transcribe(transcriber, clip, **KINDS[kind])).text for clip in clips]
    assert side_by_side == alone
    assert len(set(alone)) == 2


@pytest.mark.parametrize("kind", SEAMLESS)
def test_seamless_is_told_the_language_of_the_text(served: Server, jfk: bytes, kind: str) -> None:
    english, german, chinese = (
        text_of(served, jfk, model=kind, language=language) for language in ("en", "deu", "Mandarin")
    )
    assert len({english, german, chinese}) == 3
    translated = post(served, jfk, path="/v1/audio/translations", model=kind).json()["text"]
    assert translated == english


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "language is missing, and this seamless_m4t model does not detect it; allowed: de, en, zh"),
        ({"language": "fr"}, "language is 'fr' (french), which this seamless_m4t model does not have"),
        (
            {"language": "en", "prompt": "x"},
            "prompt is 'x', but this seamless_m4t model does not have this option",
        ),
    ],
)
def test_what_seamless_cannot_be_told_is_refused(
    served: Server, jfk: bytes, fields: dict[str, str], message: str
) -> None:
    assert message in refusal_of(served, jfk, model="seamless", **fields)


def test_seamless_translates_from_any_language(served: Server, jfk: bytes) -> None:
    message = refusal_of(served, jfk, path="/v1/audio/translations", model="seamless", language="de")
    assert "this seamless_m4t model translates from any language into English; allowed: to leave it out" in message


@needs_torchaudio
def test_granite_is_asked_in_words(served: Server, jfk: bytes) -> None:
    said = text_of(served, jfk, model="granite")
    translated = text_of(served, jfk, path="/v1/audio/translations", model="granite")
    assert said != translated
    assert "this granite_speech model does not have this option" in refusal_of(
        served, jfk, model="granite", language="en"
    )


def test_qwen_takes_a_language_and_a_prompt(served: Server, jfk: bytes) -> None:
    plain = text_of(served, jfk, model="qwen")
    assert text_of(served, jfk, model="qwen", language="de") != plain
    assert text_of(served, jfk, model="qwen", prompt="w1 w2") != plain
    assert "which this qwen3_asr model does not have" in refusal_of(served, jfk, model="qwen", language="la")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a <|audio_pad|> b", "allowed: texts without '<|audio_pad|>', which is a token of this qwen3_asr model"),
        ("x" * 2_001, "prompt has 2001 characters; allowed: up to 2000"),
    ],
)
def test_a_prompt_cannot_break_out_of_its_place(served: Server, jfk: bytes, prompt: str, message: str) -> None:
    assert message in refusal_of(served, jfk, model="qwen", prompt=prompt)


def test_canary_needs_the_language_that_is_spoken(served: Server, jfk: bytes) -> None:
    german = text_of(served, jfk, model="canary", language="de")
    assert german != text_of(served, jfk, model="canary", language="en")
    translated = text_of(served, jfk, path="/v1/audio/translations", model="canary", language="de")
    assert translated != german
    assert "language is missing, and this canary model does not detect it" in refusal_of(
        served, jfk, model="canary"
    )
