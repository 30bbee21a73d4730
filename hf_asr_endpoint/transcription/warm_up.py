"""A run before the first request, because libraries compile their kernels when they first meet a shape."""

from __future__ import annotations

from queue import SimpleQueue

import numpy as np

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.units import SAMPLE_RATE, WINDOW_S
from hf_asr_endpoint.whisper.decoding.state import AttemptRules

N_LENGTHS = 5  # windows from short to whole; the rest are short, because long ones take memory


def warm_up(
    engine: Engine,
    vocabulary: Vocabulary,
    *,
    slots: int,
    n_mels: int,
    compiles_each_shape: bool,
    takes_waveforms: bool = False,
) -> None:
    """Decode silence in windows from short to whole and in batches of every size. Raises EngineError.

    The sequences end one after another, so that every batch size comes up. Without compiles_each_shape, a short
    window loads all code; more would take minutes with a large model on a CPU. takes_waveforms: see ModelInfo.
    """
    slots = slots if compiles_each_shape else 1
    ended: SimpleQueue[Sequence] = SimpleQueue()
    sequences = []
    for index in range(slots):
        is_short = index >= N_LENGTHS or not compiles_each_shape
        encoder_padding_s = 1.0 if is_short else WINDOW_S * (index + 1) / N_LENGTHS
        silence = ChunkSpectrogram(
            np.zeros(SAMPLE_RATE, np.float32),
            n_mels=n_mels,
            encoder_padding_s=encoder_padding_s,
            is_left_to_model=takes_waveforms,
        )
        prompt = vocabulary.prompt(language_token=vocabulary.language_token("en"), task="transcribe")
        n_tokens = 2 * slots - index  # Each begins a step after the previous one and must end earlier.
        attempt = Attempt(
            window=silence.window(0.0, is_whole=False),
            prompt=prompt,
            rules=AttemptRules(max_new_tokens=n_tokens, min_new_tokens=n_tokens),
        )
        sequences.append(
            Sequence(request=Request(), attempt=attempt, on_attempt=lambda state: None, on_end=ended.put)
        )
    for sequence in sequences:  # All at once, so that none ends before the last one begins.
        engine.submit(sequence)
    for _ in range(slots):
        if (error := ended.get().error) is not None:
            raise error
