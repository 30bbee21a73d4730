"""whisper-tiny.en's texts from the ragged encoder and the captured step, compared with the engine's in float32."""

from __future__ import annotations

from typing import Any

import torch

from bench.gpu import internals
from bench.gpu.batch import decode
from bench.gpu.correctness import GREEDY, load_model, prompt_for, read_windows
from bench.gpu.proposals import HAS_TRITON
from bench.gpu.proposals.choice import begin_states, token_flags
from bench.gpu.proposals.encoder_phase import attention_names, best_hidden
from bench.gpu.proposals.ragged_encoder import ATTENTIONS, RaggedEncoder, window_bounds
from bench.gpu.proposals.scenes import Scene, TokenRules, decode_rows, write_window
from bench.gpu.proposals.step import TokenIds, allocate_caches, capture
from bench.gpu.proposals.weights import VOCABULARY_STEP, decoder_weights, encoder_weights
from bench.gpu.running import Check, Log
from hf_asr_endpoint.whisper.checkpoint.loader import Device, Dtype, WhisperCheckpoint, load_checkpoint

MAX_STEPS = 120


@torch.inference_mode()
def run(check: Check, log: Log) -> None:
    clips = read_windows(check)
    model, tokenizer, _ = load_model(check, device="cpu", dtype="float32")
    expected = decode(model, clips.mels, prompt_for(tokenizer), GREEDY)
    features = torch.cat([internals.encode(model, mel) for mel in clips.mels])
    device: Device = "cuda" if check.device == "cuda" else "cpu"
    dtypes: tuple[Dtype, ...] = ("float16", "bfloat16") if device == "cuda" else ("float32",)
    for dtype in dtypes:
        checkpoint = load_checkpoint(check.directory, device=device, dtype=dtype)
        for attention in attention_names(check):
            for hidden_name, hidden in best_hidden(check).items():
                name = f"{dtype}, {attention}, {hidden_name}"
                with log.part(name):
                    encoder = RaggedEncoder(
                        encoder_weights(checkpoint.tensors, checkpoint.config),
                        attention=ATTENTIONS[attention],
                        hidden=hidden,
                        uses_triton=device == "cuda",
                    )
                    bounds = window_bounds([mel.shape[1] // 2 for mel in clips.mels], device=device)
                    found = encoder([mel.to(device, encoder.dtype) for mel in clips.mels], bounds)
                    error = float((found.float().cpu() - features).norm() / features.norm())
                    texts, off = decode_texts(check, checkpoint, found, bounds.lengths, expected)
                    log.write(name, encoder_relative_error=error, texts_equal=texts, avg_logprob_off=off)


def decode_texts(
    check: Check, checkpoint: WhisperCheckpoint, features: torch.Tensor, lengths: tuple[int, ...], expected: Any
) -> tuple[str, float]:
    """Return how many texts are the expected ones, and by how much an average log-probability differs at most."""
    scene = text_scene(check, checkpoint, features, lengths)
    step = scene.step("triton" if HAS_TRITON and check.device == "cuda" else "torch")
    before = scene.state.clone()
    work: Any = step
    if check.device == "cuda":
        work = capture(step).replay
        scene.state.copy_(before)
    tokens, logprobs = decode_rows(work, scene.state, n_steps=MAX_STEPS)
    eot = checkpoint.tokenizer.eot
    texts = [[token for token in row if token != eot] for row in tokens]
    n_equal = sum(text == each.sampled for text, each in zip(texts, expected, strict=True))
    averages = [sum(row) / (len(text) + 1) for row, text in zip(logprobs, texts, strict=True)]
    off = max(abs(average - each.avg_logprob) for average, each in zip(averages, expected, strict=True))
    return f"{n_equal} of {len(texts)}", off


def text_scene(
    check: Check, checkpoint: WhisperCheckpoint, features: torch.Tensor, lengths: tuple[int, ...]
) -> Scene:
    """Return rows whose windows have these features."""
    config, tokenizer, generation = checkpoint.config, checkpoint.tokenizer, checkpoint.generation_config
    weights = decoder_weights(checkpoint.tensors, config)
    n_rows = len(lengths)
    caches = allocate_caches(weights, n_slots=n_rows, max_tokens=128, max_positions=max(lengths))
    for slot, window in enumerate(features.split(lengths)):
        write_window(caches, weights, slot, window)
    prompt = list(prompt_for(tokenizer).tokens)
    state = begin_states(n_rows, prompt, device=check.device, max_tokens=GREEDY.max_new_tokens)
    state.lengths.copy_(torch.tensor(lengths, dtype=torch.int32))
    begin, n_vocab = tokenizer.timestamp_begin, config.vocab_size
    latest = generation.max_initial_timestamp_index
    flags = token_flags(
        *(n_vocab, [*generation.suppress_tokens, tokenizer.no_timestamps], list(generation.begin_suppress_tokens)),
        device=check.device,
        n_rows=-(-n_vocab // VOCABULARY_STEP) * VOCABULARY_STEP,
    )
    ids = TokenIds(
        timestamp_begin=begin, initial_end=n_vocab if latest is None else begin + latest + 1, eot=tokenizer.eot
    )
    return Scene(weights=weights, caches=caches, state=state, rules=TokenRules(flags=flags, ids=ids))
