"""Which options of decoding a model, and an engine with a number of slots, can follow."""

from __future__ import annotations

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS, DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.transcription.attempt_rules import n_candidates
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer


def check_width(options: DecodingOptions, *, max_beams: int, slots: int) -> None:
    """Raise InvalidParameter for more beams, candidates or samples than settings and slots allow.

    slots: that one request may have.
    """
    used = {
        "num_beams": options.beams.num_beams if options.searches else 1,
        "top_k": n_candidates(options) if options.searches else 1,
        "best_of": options.best_of if options.samples else 1,
    }
    limit, setting = min((slots, "--slots"), (max_beams, "--max-beams"))
    for name, value in used.items():
        if value > limit:
            beside = f" beside penalty_alpha {options.contrast.penalty_alpha:g}" if name == "top_k" else ""
            raise InvalidParameter(
                f"{name} is {value}{beside}; allowed: up to {limit}, by this server's setting {setting}",
                parameter=name,
            )


def check_suppress_tokens(tokenizer: WhisperTokenizer, options: DecodingOptions) -> None:
    """Raise InvalidParameter for ids that are not tokens, and for timestamps, which segments depend on."""
    for token in options.suppress_tokens or ():
        if token != MODELS_OWN_TOKENS and not 0 <= token < tokenizer.timestamp_begin:
            raise InvalidParameter(
                f"suppress_tokens has {token}; allowed: ids from 0 to {tokenizer.timestamp_begin - 1}, "
                f"which are all tokens but timestamps, and {MODELS_OWN_TOKENS} for the model's own list",
                parameter="suppress_tokens",
            )
