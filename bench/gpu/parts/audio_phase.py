"""Spectrograms and speech probabilities of many windows at once: time a window."""

from __future__ import annotations

from functools import partial

import torch

from bench.gpu.parts.audio_batch import SpeechNetwork
from bench.gpu.running import Check, Log
from bench.gpu.timing import measure
from hf_asr_endpoint.units import SAMPLE_RATE, WINDOW_S
from hf_asr_endpoint.whisper.log_mel import LogMel

COUNTS = (1, 8, 64)
N_MELS = 128


@torch.inference_mode()
def run(check: Check, log: Log) -> None:
    log_mel = LogMel(N_MELS, lambda tensor: tensor.to(check.device))
    network = SpeechNetwork.random(check.device)
    for count in COUNTS[:1] if check.is_small else COUNTS:
        waveforms = torch.randn((count, int(WINDOW_S * SAMPLE_RATE)), device=check.device) * 0.1
        works = {
            "spectrograms": partial(log_mel, waveforms),
            "speech probabilities": partial(network.probabilities, waveforms),
        }
        for name, work in works.items():
            with log.part(f"{name} of {count} windows"):
                times = measure(work, device=check.device, n=5)
                ms = (times.device_ms or times.wall_ms) / count
                log.write(f"{name} of {count} windows", ms_a_window=ms, **times.figures)
