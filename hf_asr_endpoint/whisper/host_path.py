"""What a model does beside its steps, on any device: prompts, languages, alignment, a choice of tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.alignment.aligner import Aligner, select_alignment_heads
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.decoding.logit_filters import TokenRules
from hf_asr_endpoint.whisper.decoding.search_step import DegenerationPenalty
from hf_asr_endpoint.whisper.draft_feeder import DraftFeeder
from hf_asr_endpoint.whisper.kv_cache.cross_kv import CrossKVReader
from hf_asr_endpoint.whisper.kv_cache.self_kv import SelfKVCache
from hf_asr_endpoint.whisper.language_detection import LanguageDetector
from hf_asr_endpoint.whisper.model.decoder import BatchBuilder, DecoderPass
from hf_asr_endpoint.whisper.prompts import PromptFeeder
from hf_asr_endpoint.whisper.token_choice import TokenChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPath:
    """The parts, over one decoder and its caches. batches: feed it tokens."""

    batches: BatchBuilder
    rules: TokenRules
    choice: TokenChoice
    degeneration_penalty: DegenerationPenalty
    prompts: PromptFeeder
    drafts: DraftFeeder
    language_detector: LanguageDetector
    aligner: Aligner


def connect_host_path(
    checkpoint: WhisperCheckpoint,
    decoder: DecoderPass,
    *,
    self_kv: SelfKVCache,
    cross_kv: CrossKVReader,
    logits: Callable[[Tensor], Tensor],
    norm: Callable[[Tensor], Tensor] = lambda features: features,
    device: torch.device,
) -> HostPath:
    """logits: computes logits from features, shape = (n_rows, d_model). norm: what features go through before."""
    config, n_heads = checkpoint.config, checkpoint.config.decoder_attention_heads
    batches = BatchBuilder(self_kv, cross_kv, device=device)
    rules, penalty = TokenRules(checkpoint), DegenerationPenalty(norm)
    choice = TokenChoice(rules, self_kv)
    heads = select_alignment_heads(
        checkpoint.generation_config.alignment_heads, n_layers=config.decoder_layers, n_heads=n_heads
    )
    return HostPath(
        batches=batches,
        rules=rules,
        choice=choice,
        degeneration_penalty=penalty,
        prompts=PromptFeeder(
            decoder,
            batches,
            self_kv=self_kv,
            cross_kv=cross_kv,
            rules=rules,
            choice=choice,
            degeneration_penalty=penalty,
            logits=logits,
        ),
        drafts=DraftFeeder(decoder, batches, rules=rules, logits=logits),
        language_detector=LanguageDetector(
            decoder,
            n_heads=n_heads,
            sot=checkpoint.tokenizer.sot,
            score=lambda features: rules.language_scores(logits(features)),
            device=device,
        ),
        aligner=Aligner(decoder, cross_kv, batches, heads=heads, eot=rules.eot, logits=logits),
    )
