"""Our decoding options in the words of transformers' Whisper `generate`."""

from __future__ import annotations

from typing import Any

from transformers import LogitsProcessorList, TemperatureLogitsWarper

from hf_asr_endpoint.types import DecodingOptions

# The thresholds of openai/whisper's `transcribe`. transformers measures compression on token ids instead
# of text, where 1.35 stands for the original's 2.4 (its Whisper documentation, on long-form transcription).
COMPRESSION_RATIO_THRESHOLD = 1.35
LOGPROB_THRESHOLD = -1.0
NO_SPEECH_THRESHOLD = 0.6


def generate_arguments(options: DecodingOptions, *, n_prompt_tokens: int) -> dict[str, Any]:
    """Return keyword arguments for `WhisperForConditionalGeneration.generate`.

    n_prompt_tokens: length of the decoder prompt, which `max_length` counts.
    """
    arguments: dict[str, Any] = {
        "temperature": options.temperatures,
        "compression_ratio_threshold": COMPRESSION_RATIO_THRESHOLD,
        "logprob_threshold": LOGPROB_THRESHOLD,
        "no_speech_threshold": NO_SPEECH_THRESHOLD,
        "num_beams": options.num_beams,
        "early_stopping": options.early_stopping,
        "top_k": options.top_k or 0,  # transformers' own default is 50; Whisper's is no filter at all.
        "use_cache": options.use_cache,
    }
    for name in ("top_p", "typical_p", "epsilon_cutoff", "eta_cutoff"):
        if (value := getattr(options, name)) is not None:
            arguments[name] = value
    # transformers drops `min_length` when both are given.
    if least := max(options.min_new_tokens or 0, (options.min_length or 0) - n_prompt_tokens):
        arguments["min_new_tokens"] = least
    if options.max_new_tokens is not None:
        arguments["max_new_tokens"] = options.max_new_tokens
    elif options.max_length is not None:
        # `generate` raises its `max_length` by the prompt again for each window of a long recording.
        arguments["max_new_tokens"] = options.max_length - n_prompt_tokens
    if options.beam_temperature != 1.0:
        # Scaled log-probabilities rank as before unless they are made probabilities again.
        arguments["logits_processor"] = LogitsProcessorList([TemperatureLogitsWarper(options.beam_temperature)])
        arguments["renormalize_logits"] = True
    return arguments
