"""A small Whisper with random weights, as the host's model and as the device's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from hf_asr_endpoint.whisper.checkpoint.config import GenerationConfig, ModelConfig
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.checkpoint.tensor_files import in_memory
from hf_asr_endpoint.whisper.checkpoint.tensors import Tensors, select_tensors
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.device.accelerator import Event, HostAccelerator
from hf_asr_endpoint.whisper.device.device_speech_model import DeviceSpeechModel
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from tests.parity.random_whisper import N_VOCAB, SPECIAL_TOKENS, random_whisper

N_SLOTS = 12


class LateEvent:
    """Is done once somebody has asked a few times, or has waited for it."""

    def __init__(self, finish: Callable[[], object] = lambda: None, *, n_questions: int) -> None:
        self._finish, self._n_questions = finish, n_questions

    def is_done(self) -> bool:
        self._n_questions -= 1
        return self._n_questions < 0

    def wait(self) -> None:
        self._finish()


class LateAccelerator(HostAccelerator):
    """Results arrive when they are waited for, and windows are ready some steps after they were encoded."""

    def mark(self) -> Event:
        return LateEvent(n_questions=3)

    def after(self, event: Event) -> None:
        pass

    def download(self, source: Tensor, target: Tensor) -> Event:
        target.fill_(torch.nan)
        arriving = source.clone()
        return LateEvent(lambda: target.copy_(arriving), n_questions=1)


class RecordingAccelerator(HostAccelerator):
    """Records steps as graphs of operators, which have no Python in them, like CUDA's."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        recorded = make_fx(work)()
        return lambda: recorded()


@pytest.fixture(scope="session")
def random_checkpoint() -> WhisperCheckpoint:
    words = {f"w{token}": token for token in range(N_VOCAB)}
    for name, token in SPECIAL_TOKENS.items():
        del words[f"w{token}"]
        words[name] = token
    model = random_whisper()
    config = ModelConfig.from_json(model.config.to_dict())
    return WhisperCheckpoint(
        config=config,
        generation_config=GenerationConfig.from_json(model.generation_config.to_dict()),
        tensors=Tensors(
            select_tensors(in_memory(model.state_dict()), config), device=model.device, dtype=model.dtype
        ),
        tokenizer=WhisperTokenizer(Tokenizer(WordLevel(words, unk_token="w0"))),
        is_multilingual=False,
    )


@pytest.fixture(scope="module")
def host_model(random_checkpoint: WhisperCheckpoint) -> WhisperSpeechModel:
    return WhisperSpeechModel(random_checkpoint, slots=N_SLOTS, arithmetic="float")


def new_device_model(
    checkpoint: WhisperCheckpoint,
    accelerator: HostAccelerator | None = None,
    *,
    slots: int = N_SLOTS,
    looks_ahead: bool = True,
) -> DeviceSpeechModel:
    return DeviceSpeechModel(
        checkpoint,
        slots=slots,
        accelerator=accelerator or HostAccelerator(),
        looks_ahead=looks_ahead,
        max_windows=3,
    )


@pytest.fixture(params=["in time", "late", "read at once"])
def device_model(request: pytest.FixtureRequest, random_checkpoint: WhisperCheckpoint) -> DeviceSpeechModel:
    accelerator = LateAccelerator() if request.param == "late" else HostAccelerator()
    return new_device_model(random_checkpoint, accelerator, looks_ahead=request.param != "read at once")
