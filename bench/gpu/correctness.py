"""Phase 2: whisper-tiny.en's weights in 16 bits on the device, compared with float32 on this machine's CPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from bench.gpu import internals
from bench.gpu.batch import decode
from bench.gpu.differences import compare_features, compare_logits, compare_states, compare_times
from bench.gpu.internals import AnyModel
from bench.gpu.packed import read_clips
from bench.gpu.running import Check, Log
from hf_asr_endpoint.decoding_options import (
    MODELS_OWN_TOKENS,
    BeamOptions,
    ContrastiveOptions,
    DecodingOptions,
    SamplingFilters,
)
from hf_asr_endpoint.transcription.spectrogram import ChunkSpectrogram
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.types import ModelInfo
from hf_asr_endpoint.units import N_POSITIONS, SAMPLE_RATE
from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput, TimedToken, locate_tokens
from hf_asr_endpoint.whisper.checkpoint.loader import Device, Dtype
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState
from hf_asr_endpoint.whisper.loading import load_speech_model

N_SLOTS = 16
N_MELS = 80
ENCODER_PADDING_S = 4.0  # the server's default
N_SEARCHED = 3  # clips that are decoded with each search
MAX_TOKENS = 100  # of a text
DTYPES: tuple[Dtype, ...] = ("bfloat16", "float16")

GREEDY = AttemptRules(max_new_tokens=MAX_TOKENS)

FILTERS = SamplingFilters(top_k=40, top_p=0.95, typical_p=0.95, epsilon_cutoff=1e-4, eta_cutoff=1e-4)
GROUPS = BeamOptions(num_beams=4, num_beam_groups=2, diversity_penalty=0.5)
CONTRAST = ContrastiveOptions(top_k=4, penalty_alpha=0.6)
SEARCHES: dict[str, AttemptRules] = {
    "beams": replace(GREEDY, options=DecodingOptions(beams=BeamOptions(num_beams=4))),
    "beams in groups": replace(GREEDY, options=DecodingOptions(beams=GROUPS)),
    "contrastive": replace(GREEDY, options=DecodingOptions(contrast=CONTRAST)),
    "sampling": replace(GREEDY, temperature=0.6, seed=1),
    "sampling with filters": replace(GREEDY, temperature=0.6, options=DecodingOptions(filters=FILTERS)),
    "best of 3": replace(GREEDY, temperature=0.6, options=DecodingOptions(best_of=3)),
    "suppressed tokens": replace(GREEDY, options=DecodingOptions(suppress_tokens=(MODELS_OWN_TOKENS, 11, 13))),
    "repetition penalty": replace(GREEDY, options=DecodingOptions(repetition_penalty=1.3)),
    "min_new_tokens": replace(GREEDY, min_new_tokens=60),
}


@dataclass(slots=True, kw_only=True)
class Outputs:
    """What one model returns for the clips. searched: by the name of the search."""

    features: list[Tensor] = field(default_factory=list)
    greedy: list[DecodingState] = field(default_factory=list)
    words: list[list[TimedToken]] = field(default_factory=list)
    searched: dict[str, list[DecodingState]] = field(default_factory=dict)
    logits: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Windows as the server cuts them. seconds: of audio in each window."""

    names: list[str]
    mels: list[Tensor]
    seconds: list[float]


def read_windows(check: Check, *, is_whole: bool = False) -> Clips:
    waveforms = dict(list(read_clips(check.packed).items())[: N_SEARCHED if check.is_small else None])
    mels = [
        ChunkSpectrogram(waveform, n_mels=N_MELS, encoder_padding_s=ENCODER_PADDING_S).window(
            0.0, is_whole=is_whole
        )
        for waveform in waveforms.values()
    ]
    seconds = [len(waveform) / SAMPLE_RATE for waveform in waveforms.values()]
    return Clips(names=list(waveforms), mels=mels, seconds=seconds)


def load_model(
    check: Check, *, device: Device, dtype: Dtype | Literal["int8"], cpu_level: str = "auto"
) -> tuple[AnyModel, WhisperTokenizer, ModelInfo]:
    """Load whisper-tiny.en. Compiled kernels are kept in its folder."""
    return load_speech_model(
        check.directory, device=device, dtype=dtype, slots=N_SLOTS, cpu_level=cpu_level, cache_dir=check.directory
    )


def prompt_for(tokenizer: WhisperTokenizer) -> DecoderPrompt:
    return Vocabulary(tokenizer, is_multilingual=False).prompt(language_token=None, task="transcribe")


def run(check: Check, log: Log) -> None:
    clips = read_windows(check)
    device: Device = "cuda" if check.device == "cuda" else "cpu"
    dtypes: tuple[Dtype, ...] = DTYPES if device == "cuda" else ("float32",)
    reference_model, tokenizer, _ = load_model(check, device="cpu", dtype="float32")
    reference = run_model(reference_model, tokenizer, clips, log, name="float32 on the CPU")
    log.write("reference", texts=[tokenizer.decode(state.sampled) for state in reference.greedy])
    for dtype in dtypes:
        name = f"{dtype} on {device}"
        with log.part(name):
            model, _, info = load_model(check, device=device, dtype=dtype)
            log.write(f"{name}, loaded", info=str(info))
            outputs = run_model(model, tokenizer, clips, log, name=name, forced=reference.greedy)
            compare(reference, outputs, clips, log, name=name)
            del model
    with log.part("whole windows"):
        whole = read_windows(check, is_whole=True)
        model, *_ = load_model(check, device=device, dtype=dtypes[-1])
        prompt = prompt_for(tokenizer)
        expected, found = (decode(each, whole.mels, prompt, GREEDY) for each in (reference_model, model))
        log.write(f"{dtypes[-1]}, whole windows", **compare_states(expected, found, names=whole.names))


def run_model(
    model: AnyModel,
    tokenizer: WhisperTokenizer,
    clips: Clips,
    log: Log,
    *,
    name: str,
    forced: Sequence[DecodingState] | None = None,
) -> Outputs:
    """Encode, decode and align the clips. forced: the texts to return logits of; None: the model's own."""
    outputs = Outputs()
    vocabulary = Vocabulary(tokenizer, is_multilingual=False)
    prompt = prompt_for(tokenizer)

    def align(results: list[DecodingState], slots: list[int]) -> None:
        with log.part(f"{name}, word times"):
            outputs.words = align_texts(model, vocabulary, results, slots, clips)

    with log.part(f"{name}, encoder"):
        outputs.features = [internals.encode(model, mel).float().cpu() for mel in clips.mels]
    with log.part(f"{name}, greedy"):
        started = time.perf_counter()
        outputs.greedy = decode(model, clips.mels, prompt, GREEDY, align)
        log.write(f"{name}, greedy and word times", seconds=time.perf_counter() - started)
    with log.part(f"{name}, logits"):
        texts = [(*prompt.tokens, *state.sampled) for state in forced or outputs.greedy]
        pairs = zip(clips.mels, texts, strict=True)
        outputs.logits = [internals.forced_logits(model, mel, text) for mel, text in pairs]
    for search, rules in SEARCHES.items():
        with log.part(f"{name}, {search}"):
            outputs.searched[search] = decode(model, clips.mels[:N_SEARCHED], prompt, rules)
    return outputs


def align_texts(
    model: AnyModel,
    vocabulary: Vocabulary,
    results: Sequence[DecodingState],
    slots: Sequence[int],
    clips: Clips,
) -> list[list[TimedToken]]:
    """Return the times of each clip's tokens. All clips are aligned in one pass."""
    texts = {
        slot: AlignmentInput(
            prompt=vocabulary.prompt_without_timestamps(state),
            tokens=vocabulary.text_tokens(state.sampled),
            n_positions=min(-(-int(seconds * 100) // 2), N_POSITIONS),
        )
        for slot, state, seconds in zip(slots, results, clips.seconds, strict=True)
    }
    alignments = model.align(texts)
    return [
        locate_tokens(alignments[slot], begin_s=0.0, end_s=seconds)
        for slot, seconds in zip(slots, clips.seconds, strict=True)
    ]


def compare(reference: Outputs, outputs: Outputs, clips: Clips, log: Log, *, name: str) -> None:
    with log.part(f"{name}, encoder, relative error"):
        figures = compare_features(reference.features, outputs.features)
        log.write(f"{name}, encoder, relative error", **figures)
    with log.part(f"{name}, logits"):
        log.write(f"{name}, logits", **compare_logits(reference.logits, outputs.logits))
    with log.part(f"{name}, greedy"):
        figures = compare_states(reference.greedy, outputs.greedy, names=clips.names, logits=reference.logits)
        log.write(f"{name}, greedy", **figures)
    with log.part(f"{name}, word times"):
        log.write(f"{name}, word times", **compare_times(reference.words, outputs.words))
    for search, expected in reference.searched.items():
        with log.part(f"{name}, {search}"):
            figures = compare_states(expected, outputs.searched[search], names=clips.names[:N_SEARCHED])
            log.write(f"{name}, {search}", **figures)
