"""Compares the outputs of two models for the same clips. The first of two arguments is the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hf_asr_endpoint.units import TIME_PRECISION_S
from hf_asr_endpoint.whisper.alignment.timing import TimedToken
from hf_asr_endpoint.whisper.decoding.state import DecodingState

N_FIRST = 4  # tokens of each text whose logits are also compared separately


def compare_features(expected: Sequence[Tensor], found: Sequence[Tensor]) -> dict[str, Any]:
    """Return relative errors, in the Euclidean norm of each window's features."""
    errors = [float((b - a).norm() / a.norm()) for a, b in zip(expected, found, strict=True)]
    all_finite = all(bool(features.isfinite().all()) for features in found)
    return {"mean": sum(errors) / len(errors), "largest": max(errors), "all_finite": all_finite}


def compare_logits(expected: Sequence[Tensor], found: Sequence[Tensor]) -> dict[str, Any]:
    """Return the differences after the first tokens and after all, and how often the likeliest token is the same.

    The tensors have shape = (n_tokens, n_vocab) for each clip.
    """
    differences = [b - a for a, b in zip(expected, found, strict=True)]
    first = torch.cat([difference[:N_FIRST].flatten() for difference in differences])
    every = torch.cat([difference.flatten() for difference in differences])
    same = torch.cat([b.argmax(1) == a.argmax(1) for a, b in zip(expected, found, strict=True)])
    return {
        "first_rms": float(first.square().mean().sqrt()),
        "first_largest": float(first.abs().max()),
        "all_rms": float(every.square().mean().sqrt()),
        "all_largest": float(every.abs().max()),
        "deviation_of_logits": float(torch.cat([logits.flatten() for logits in expected]).std()),
        "likeliest_equal": f"{int(same.sum())} of {len(same)}",
    }


def compare_states(
    expected: Sequence[DecodingState],
    found: Sequence[DecodingState],
    *,
    names: Sequence[str],
    logits: Sequence[Tensor] = (),
) -> dict[str, Any]:
    """Return the number of equal texts, and for the others the first difference.

    logits: of the expected texts, from the last prompt token on. With them, a difference's margin is how much
    higher the expected token's logit is.
    """
    differences = []
    for index, (a, b) in enumerate(zip(expected, found, strict=True)):
        at = first_difference(a.sampled, b.sampled)
        if at is None:
            continue
        pair = [state.sampled[at] if at < len(state.sampled) else None for state in (a, b)]
        margin = None
        if logits and None not in pair:
            margin = float(logits[index][at, pair[0]] - logits[index][at, pair[1]])
        differences.append({"clip": names[index], "at": at, "tokens": pair, "margin": margin})
    pairs = list(zip(expected, found, strict=True))
    return {
        "equal": f"{len(expected) - len(differences)} of {len(expected)}",
        "differences": differences,
        "avg_logprob_off": max(abs(a.avg_logprob - b.avg_logprob) for a, b in pairs),
        "no_speech_prob_off": max(abs(a.no_speech_prob - b.no_speech_prob) for a, b in pairs),
    }


def first_difference(expected: Sequence[int], found: Sequence[int]) -> int | None:
    """Return the first index at which two lists differ or only one has ended; None if they are equal."""
    for index, (a, b) in enumerate(zip(expected, found, strict=False)):
        if a != b:
            return index
    return None if len(expected) == len(found) else min(len(expected), len(found))


def compare_times(
    expected: Sequence[Sequence[TimedToken]], found: Sequence[Sequence[TimedToken]]
) -> dict[str, Any]:
    """Return how far the starts of tokens differ, in clips with the same number of tokens."""
    moved_s = [
        abs(a.start - b.start)
        for tokens_a, tokens_b in zip(expected, found, strict=True)
        if len(tokens_a) == len(tokens_b)
        for a, b in zip(tokens_a, tokens_b, strict=True)
    ]
    n_moved = sum(seconds > TIME_PRECISION_S / 2 for seconds in moved_s)
    return {"n_tokens": len(moved_s), "n_moved": n_moved, "largest_s": max(moved_s)}
