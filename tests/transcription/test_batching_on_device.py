"""The batching transcriber over the device's model, on the CPU: recordings go to it as waveforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.whisper.checkpoint.loader import load_checkpoint
from hf_asr_endpoint.whisper.device.accelerator import HostAccelerator
from hf_asr_endpoint.whisper.device.device_speech_model import DeviceSpeechModel
from hf_asr_endpoint.whisper.language_scores import LanguageScores, PositionSpan
from hf_asr_endpoint.whisper.log_mel import WaveformWindow, Window
from tests.transcription.transcribing import N_SLOTS, SPOKEN, plain, run_transcribe, running

pytestmark = pytest.mark.usefixtures("one_thread")


class WaveformModel(DeviceSpeechModel):
    """Refuses windows that are not waveforms."""

    def encode(
        self, windows: Mapping[int, Window], *, spans: Mapping[int, Sequence[PositionSpan]]
    ) -> dict[int, list[LanguageScores]]:
        assert all(isinstance(window, WaveformWindow) for window in windows.values())
        return super().encode(windows, spans=spans)


def test_a_model_that_takes_waveforms_gets_them(tiny_en_directory: Path, speech: Waveform) -> None:
    checkpoint = load_checkpoint(tiny_en_directory, device="cpu", dtype="float32")
    model = WaveformModel(checkpoint, slots=N_SLOTS, accelerator=HostAccelerator())
    info = replace(checkpoint.info, takes_waveforms=True, compiles_each_shape=False)
    with contextmanager(running)(model, (model, checkpoint.tokenizer, info)) as transcriber:
        transcriber.warm_up(slots=N_SLOTS)
        assert SPOKEN in plain(run_transcribe(transcriber, [speech]).text)
