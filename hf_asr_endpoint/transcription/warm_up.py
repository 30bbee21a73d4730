"""A first run before the first request: libraries compile their kernels when a shape first comes."""

from __future__ import annotations

from queue import SimpleQueue

import numpy as np

from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Attempt, Request, Sequence
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transcription.window import ChunkSpectrogram
from hf_asr_endpoint.units import SAMPLE_RATE, WINDOW_S
from hf_asr_endpoint.whisper.decoding.state import AttemptRules

N_LENGTHS = 5  # windows from short to whole; the others are short, because longer ones take memory


def warm_up(engine: Engine, vocabulary: Vocabulary, *, n_slots: int, n_mels: int) -> None:
    """Decode silence in each number of slots and in windows from short to whole. Raises what the engine does.

    The sequences end one after another, so that every size of batch comes up.
    """
    ended: SimpleQueue[Sequence] = SimpleQueue()
    sequences = []
    for index in range(n_slots):
        padding_s = WINDOW_S * (index + 1) / N_LENGTHS if index < N_LENGTHS else 1.0
        silence = ChunkSpectrogram(np.zeros(SAMPLE_RATE, np.float32), n_mels=n_mels, padding_s=padding_s)
        prompt = vocabulary.prompt(language_token=None, task="transcribe")
        n_tokens = 2 * n_slots - index  # Each begins a step later than the one before, and is to end earlier.
        attempt = Attempt(
            window=silence.window(0.0, is_whole=False),
            prompt=prompt,
            rules=AttemptRules(max_new_tokens=n_tokens, min_new_tokens=n_tokens),
        )
        sequences.append(
            Sequence(request=Request(), attempt=attempt, on_attempt=lambda state: None, on_end=ended.put)
        )
    for sequence in sequences:  # Only now, so that none has ended before the last one has begun.
        engine.submit(sequence)
    for _ in range(n_slots):
        if (error := ended.get().error) is not None:
            raise error
