"""transformers and the engine's model with the same float32 weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.units import N_POSITIONS
from hf_asr_endpoint.whisper.checkpoint.loader import load_checkpoint
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt
from hf_asr_endpoint.whisper.model.encoder import Encoder
from hf_asr_endpoint.whisper.model.layers import linear_factory
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from tests.parity.decoding import N_SLOTS
from tests.parity.oracle import Oracle


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """transformers and the engine's model for one checkpoint."""

    oracle: Oracle
    encoder: Encoder
    model: WhisperSpeechModel
    tokenizer: WhisperTokenizer
    vocabulary: Vocabulary
    is_multilingual: bool

    def prompt(self, language: str, *, previous: tuple[int, ...] = ()) -> DecoderPrompt:
        """Return a prompt for transcription. language: unused by an English-only model."""
        token = self.vocabulary.language_token(language)
        return self.vocabulary.prompt(language_token=token, task="transcribe", previous=previous)


@pytest.fixture(scope="session")
def base(base_directory: Path) -> Pair:
    return load_pair(base_directory)


@pytest.fixture(scope="session")
def tiny_en(tiny_en_directory: Path) -> Pair:
    return load_pair(tiny_en_directory)


@pytest.fixture(params=["base", "tiny_en"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Return a multilingual model, then an English-only one."""
    found: Pair = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread: None) -> None:
    pass


def load_pair(directory: Path) -> Pair:
    checkpoint = load_checkpoint(directory, device="cpu", dtype="float32")
    make_linear = linear_factory(arithmetic="float", n_rows=N_POSITIONS)
    model = WhisperSpeechModel(checkpoint, slots=N_SLOTS, arithmetic="float")
    return Pair(
        oracle=Oracle(directory, checkpoint),
        encoder=Encoder(
            checkpoint.tensors.under("model.encoder"),
            make_linear,
            make_linear,
            n_layers=checkpoint.config.encoder_layers,
            head_dim=checkpoint.config.d_model // checkpoint.config.encoder_attention_heads,
        ),
        model=model,
        tokenizer=checkpoint.tokenizer,
        vocabulary=Vocabulary(checkpoint.tokenizer, is_multilingual=checkpoint.is_multilingual),
        is_multilingual=checkpoint.is_multilingual,
    )
