"""A small CTC model, trained on recordings of spoken digits until it recognises others."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from transformers import (
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForCTC,
    Wav2Vec2CTCTokenizer,
)

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.conftest import DATA
from tests.transformers_models.small_models import letter_tokenizer

SEED = 1
HELD_OUT_TAKES = (8, 9)
SPEEDS = (0.85, 0.92, 1.0, 1.08, 1.15)
N_STEPS, BATCH = 900, 16
PEAK_LEARNING_RATE = 3e-3
SILENCE_S = 0.15
NOISE = 0.003  # standard deviation of samples
MASKED_FRAMES, MASKED_BINS = 4, 40
NOT_COUNTED = -100  # a label of padding


@dataclass(frozen=True, slots=True)
class Digit:
    """A recording of one word, by one of two speakers."""

    text: str
    take: int
    waveform: Waveform


def read_digits() -> list[Digit]:
    """Return all recordings. They are one file, and their places in it are in another."""
    samples, rate = soundfile.read(DATA / "digits.ogg", dtype="float32")
    places = json.loads((DATA / "digits.json").read_text())
    return [
        Digit(
            place["text"],
            place["take"],
            soxr.resample(samples[place["start"] : place["end"]], rate, SAMPLE_RATE),
        )
        for place in places
    ]


def write_trained(directory: Path, digits: Sequence[Digit]) -> None:
    """Train a model of 300,000 weights on some digits, and write it."""
    torch.manual_seed(SEED)
    draw = random.Random(SEED)
    tokenizer = letter_tokenizer(directory)
    extractor = SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80, stride=2)
    examples = [
        (_features(extractor, soxr.resample(digit.waveform, SAMPLE_RATE * speed, SAMPLE_RATE)), digit.text)
        for digit in digits
        for speed in SPEEDS
    ]
    model = _new_model(tokenizer).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=N_STEPS)
    for _ in range(N_STEPS):
        chosen = draw.choices(examples, k=BATCH)
        frames = [_masked(features, draw) for features, _ in chosen]
        labels = [torch.tensor(tokenizer(text).input_ids) for _, text in chosen]
        loss = model(
            input_features=torch.nn.utils.rnn.pad_sequence(frames, batch_first=True),
            attention_mask=torch.nn.utils.rnn.pad_sequence(
                [torch.ones(len(each)) for each in frames], batch_first=True
            ),
            labels=torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=NOT_COUNTED),
        ).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    extractor.save_pretrained(directory)


def with_silence(waveform: Waveform) -> Waveform:
    """Return a waveform with room around it, as a recording has."""
    silence = np.zeros(round(SILENCE_S * SAMPLE_RATE), np.float32)
    noise = np.random.default_rng(SEED).normal(0, NOISE, len(waveform) + 2 * len(silence))
    return np.concatenate([silence, waveform, silence]) + noise.astype(np.float32)


def _features(extractor: SeamlessM4TFeatureExtractor, waveform: Waveform) -> torch.Tensor:
    """Return shape = (n_frames, 160)."""
    made = extractor([with_silence(waveform)], sampling_rate=SAMPLE_RATE, return_tensors="pt")
    features: torch.Tensor = made["input_features"][0]
    return features


def _masked(features: torch.Tensor, draw: random.Random) -> torch.Tensor:
    """Return features without some frames and some bins (SpecAugment, Park et al. 2019, arXiv 1904.08779)."""
    masked = features.clone()
    frame, bin_ = draw.randrange(len(features)), draw.randrange(features.shape[1])
    masked[frame : frame + draw.randint(0, MASKED_FRAMES)] = 0
    masked[:, bin_ : bin_ + draw.randint(0, MASKED_BINS)] = 0
    return masked


def _new_model(tokenizer: Wav2Vec2CTCTokenizer) -> Wav2Vec2BertForCTC:
    config = Wav2Vec2BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        feature_projection_input_dim=160,
        position_embeddings_type=None,
        conv_depthwise_kernel_size=15,
        apply_spec_augment=False,
        layerdrop=0.0,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Wav2Vec2BertForCTC(config)
    # Otherwise it would first learn, for most of the time, that everything is blank.
    model.lm_head.bias.data[config.pad_token_id] = -2.0
    return model
