"""One server with a model of each kind, and transcribers in this process."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.loading import load_transcriber
from hf_asr_endpoint.model_choice import choose_models
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Transcription, TranscriptionOptions
from tests.server import Server, run_server
from tests.transformers_models import small_models, small_prompted_models

TIMEOUT_S = 300.0

try:
    import torchaudio
except (ImportError, OSError):  # PyPI's needs a torch that is built for CUDA.
    HAS_TORCHAUDIO = False
else:
    HAS_TORCHAUDIO = bool(torchaudio)

TABLE = """
[[model]]
model = "{whisper}"
names = ["whisper"]
engine = "transformers"
"""
OTHER = """
[[model]]
model = "{directory}"
names = ["{name}"]
load_at = "first-use"
"""


@pytest.fixture(scope="package")
def directories(tiny_en_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each kind, by a name for it."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "ctc": small_models.write_ctc(folder / "ctc"),
        "ctc-8khz": small_models.write_ctc(folder / "ctc-8khz", sample_rate=8_000, masks_padding=False),
        "moonshine": small_models.write_moonshine(folder / "moonshine"),
        "encoder-decoder": small_models.write_encoder_decoder(folder / "encoder-decoder"),
        "transducer": small_models.write_transducer(folder / "transducer"),
        "seamless": small_prompted_models.write_seamless(folder / "seamless", version=1),
        "seamless-2": small_prompted_models.write_seamless(folder / "seamless-2", version=2),
        **({"granite": small_prompted_models.write_granite(folder / "granite")} if HAS_TORCHAUDIO else {}),
        "qwen": small_prompted_models.write_qwen(folder / "qwen"),
        "glm": small_prompted_models.write_glm(folder / "glm"),
        "canary": small_prompted_models.write_canary(folder / "canary"),
        "int8": small_models.write_int8_whisper(folder / "int8", tiny_en_directory),
        "other-whisper": small_models.write_other_whisper(folder / "other-whisper", tiny_en_directory),
    }


@pytest.fixture(scope="package")
def served(
    directories: dict[str, Path],
    tiny_en_directory: Path,
    cache_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server with whisper-tiny.en on transformers, and with all other models on the engine that fits them."""
    table = tmp_path_factory.mktemp("table") / "models.toml"
    others = (OTHER.format(directory=directory, name=name) for name, directory in directories.items())
    table.write_text(TABLE.format(whisper=tiny_en_directory) + "".join(others))
    with run_server("--model", str(table), "--cache-dir", str(cache_dir), "--slots", "4") as running:
        yield running


@contextmanager
def loaded(directory: Path, cache_dir: Path, **settings: Any) -> Iterator[Transcriber]:
    """A transcriber of this process. settings: by their names."""
    given = Settings(model=(str(directory),), cache_dir=cache_dir, **settings)
    with closing(load_transcriber(choose_models(given)[0], given, lambda _: None)) as transcriber:
        yield transcriber


async def transcribe(transcriber: Transcriber, audio: bytes, **options: Any) -> Transcription:
    reader = open_waveform(EncodedAudio(file=io.BytesIO(audio)), max_audio_s=math.inf)
    return await transcriber.transcribe(reader, TranscriptionOptions(**options))


def post(
    server: Server, audio: bytes, *, path: str = "/v1/audio/transcriptions", **fields: Any
) -> requests.Response:
    """Post a form as OpenAI's clients do."""
    return requests.post(f"{server.url}{path}", files={"file": ("a.mp3", audio)}, data=fields, timeout=TIMEOUT_S)
