"""Constants of Whisper's audio input and decoder with their units, each derived from others where it can be.

Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2.
"""

from __future__ import annotations

SAMPLE_RATE = 16_000  # Hz
N_FFT = 400  # samples: a 25 ms analysis frame
HOP_LENGTH = 160  # samples between mel frames: 10 ms
WINDOW_S = 30  # seconds of audio in one input of the encoder
N_SAMPLES = WINDOW_S * SAMPLE_RATE  # 480,000 samples in a window
N_FRAMES = N_SAMPLES // HOP_LENGTH  # 3,000 mel frames in a window
SAMPLES_PER_POSITION = HOP_LENGTH * 2  # the second convolution has stride 2
TIME_PRECISION_S = SAMPLES_PER_POSITION / SAMPLE_RATE  # 0.02 s: one encoder position, one timestamp token
N_POSITIONS = N_SAMPLES // SAMPLES_PER_POSITION  # 1,500 encoder positions in a window
N_TIMESTAMPS = N_POSITIONS + 1  # 1,501 timestamp tokens: 0.00 to 30.00 s
MAX_TARGET_POSITIONS = 448  # tokens in the decoder, including the prompt; the same for all sizes of Whisper
MAX_PROMPT_TOKENS = 4  # sot, language, task, no_timestamps
