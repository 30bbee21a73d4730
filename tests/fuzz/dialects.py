"""What a valid request of each dialect is made of: its paths come from the server's own table, its fields too."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from hf_asr_endpoint.api.asr_webservice import schema as asr_webservice
from hf_asr_endpoint.api.deepinfra import schema as deepinfra
from hf_asr_endpoint.api.huggingface import schema as huggingface
from hf_asr_endpoint.api.mistral import schema as mistral
from hf_asr_endpoint.api.openai import schema as openai
from hf_asr_endpoint.api.whispercpp import schema as whispercpp
from hf_asr_endpoint.audio.decode import decode_audio
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.api.conftest import make_path_table
from tests.audio.tones import DATA, write_sound
from tests.fuzz.drafts import BodyKind, Draft, Field

KNOWN_JOB = b"R" + b"0" * 32
"""Stands for the last job that the server has accepted."""

MODELS = (b"whisper-tiny.en", b"openai/whisper-tiny.en", b"whisper-1", b"openai/whisper-large-v3", b"x")

VALUES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("language", "languages"), ("en", "english", "de", "")),
    **dict.fromkeys(("prompt", "initial_prompt", "hotwords"), ("Hello.", "a b c", "1")),
    **dict.fromkeys(("response_format", "output"), ("json", "text", "txt", "verbose_json", "srt", "vtt", "ass")),
    **dict.fromkeys(("temperature", "temperature_inc"), ("0", "0.2", "1")),
    **dict.fromkeys(("task",), ("transcribe", "translate")),
    **dict.fromkeys(("timestamp_granularities", "chunk_level"), ("word", "segment")),
    **dict.fromkeys(("keywords", "context_bias"), ("Ada", '["Ada", "Bob"]', "x")),
    **dict.fromkeys(("num_beams", "beam_size", "best_of", "n"), ("1", "2", "5")),
    **dict.fromkeys(("suppress_tokens",), ("-1", "1,2", "[1, 2]", "")),
    **dict.fromkeys(("return_timestamps",), ("true", "word", "false")),
    **dict.fromkeys(("max_new_tokens", "max_length"), ("5", "100", "448")),
    "include": ("logprobs",),
    "chunking_strategy": ("auto", '{"type": "server_vad", "threshold": 0.4}'),
    "webhook": ("https://host.invalid/done", "http://127.0.0.1:9/"),
    "generation_parameters": ("{}",),
    "model": ("whisper-tiny.en", "whisper-1"),
}
ANY_VALUES = ("true", "false", "0", "1", "0.5", "2", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """fields: by level in a JSON document. headers: that its clients send."""

    fields: tuple[tuple[str, ...], ...] = ((),)
    kinds: tuple[BodyKind, ...] = ("none",)
    audio_fields: tuple[str, ...] = ("file",)
    nesting: tuple[bytes, ...] = ()
    is_in_query: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()


_HUGGING_FACE_FIELDS = (
    (),
    tuple(huggingface.Parameters.model_fields),
    tuple(huggingface.GenerationParameters.model_fields),
)
DIALECTS: Mapping[str, Dialect] = {
    "Hugging Face": Dialect(
        fields=_HUGGING_FACE_FIELDS,
        kinds=("raw", "raw", "json"),
        audio_fields=("inputs",),
        nesting=(b"parameters", b"generation_parameters"),
    ),
    "OpenAI": Dialect(
        fields=(openai.PARAMETERS[1:],), kinds=("form", "form", "json"), audio_fields=("file", "input_audio")
    ),
    "Mistral": Dialect(
        fields=(mistral.FIELDS,), kinds=("form",), headers=((b"User-Agent", b"mistral-client-python/1.9"),)
    ),
    "DeepInfra": Dialect(
        fields=((*deepinfra.Parameters.model_fields, *deepinfra.FIXED),),
        kinds=("form", "json"),
        audio_fields=("audio",),
    ),
    "jobs": Dialect(fields=((*openai.PARAMETERS[1:], "webhook", "task"),), kinds=("form",)),
    "whisper-asr-webservice": Dialect(
        fields=(asr_webservice.FIELDS,), kinds=("form",), audio_fields=("audio_file",), is_in_query=True
    ),
    "whisper.cpp": Dialect(fields=(whispercpp.FIELDS[1:],), kinds=("form",)),
}
"""By the names that the table of paths has. One that is not here has neither fields nor a body."""


@cache
def make_routes() -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Return the methods and paths of each dialect, in Starlette's notation."""
    routes = defaultdict[str, list[tuple[str, str]]](list)
    for endpoint, dialect in make_path_table().endpoints:
        routes[dialect.name].append((endpoint.method, endpoint.path))
    routes["Mistral"] = [("POST", "/v1/audio/transcriptions")]
    return {name: tuple(sorted(set(paths))) for name, paths in routes.items()}


@cache
def make_sounds() -> tuple[bytes, ...]:
    """Return short files: speech, noise, silence, and one sample."""
    with Path(DATA.parent / "533-1066-0006.flac").open("rb") as file:
        speech = np.concatenate(list(decode_audio(file)))
    noise = np.random.default_rng(1).normal(scale=0.1, size=SAMPLE_RATE // 4)
    sounds = (speech[SAMPLE_RATE : SAMPLE_RATE * 3 // 2], noise, np.zeros(SAMPLE_RATE // 5), np.zeros(1))
    return tuple(write_sound(sound.astype(np.float32)[:, None], SAMPLE_RATE) for sound in sounds)


def draw_draft(rng: random.Random) -> Draft:
    """Return a request that is valid as far as each of its values goes; some exclude each other."""
    name = rng.choice(list(make_routes()))
    dialect = DIALECTS.get(name, Dialect())
    method, path = rng.choice(make_routes()[name])
    draft = Draft(
        method=method.encode(),
        path=_fill(rng, path),
        audio=rng.choices(make_sounds(), (4, 1, 4, 2))[0],
        audio_field=rng.choice(dialect.audio_fields).encode(),
        kind=rng.choice(dialect.kinds) if method == "POST" else "none",
        nesting=dialect.nesting,
        headers=[(b"Host", b"127.0.0.1"), *dialect.headers],
    )
    for _ in range(rng.choice((0, 1, 2, 3, 6))):
        level = rng.randrange(len(dialect.fields))
        if dialect.fields[level]:
            item = draw_field(rng, rng.choice(dialect.fields[level]), level)
            (draft.query if dialect.is_in_query or draft.kind == "raw" else draft.fields).append(item)
    if "model" in dialect.fields[0] and draft.kind != "none":
        draft.fields.append(Field(b"model", rng.choice(MODELS)))
    draft.with_audio(rng)
    return draft


def draw_field(rng: random.Random, name: str, level: int = 0) -> Field:
    return Field(name.encode(), rng.choice(VALUES.get(name, ANY_VALUES)).encode(), level=level)


def _fill(rng: random.Random, path: str) -> bytes:
    filled = re.sub(r"{id}", lambda _: (KNOWN_JOB if rng.random() < 0.7 else b"x").decode(), path)
    return re.sub(r"{[^}]*}", lambda _: rng.choice(MODELS).decode(), filled).encode()
