"""Writes tests/data/searches.json: results of diverse beam search and contrastive search in transformers 4.55.

Later versions refuse `num_beam_groups` and `penalty_alpha`. Write the windows in the project's environment, then
the texts in a separate one with `torch==2.13.0 transformers==4.55.4 numpy`, both from the root of the checkout:

    python -m tests.parity.freeze_searches windows /tmp/windows.npz
    python -m tests.parity.freeze_searches texts /tmp/windows.npz DIRECTORY...

DIRECTORY: converted weights, such as `~/.cache/hf-asr-endpoint/converted/openai--whisper-tiny.en-…`. Everything is
computed in float32 with whole windows of 30 s.

If fewer tokens are allowed than top_k, transformers' contrastive search may choose a token that its own logit
filters forbid, for example an earlier timestamp: its probability is 0, but its degeneration penalty may be the
lowest. `breaks_rules_at` is the index of the first such token. This project never chooses one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from tests.parity.random_whisper import random_whisper, random_window

FROZEN = Path(__file__).parents[1] / "data" / "searches.json"
RANDOM = "random"
N_RANDOM = 10

REAL_VARIANTS: tuple[dict[str, Any], ...] = (
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 2.0},
    {"num_beams": 4, "num_beam_groups": 4, "diversity_penalty": 1.0, "early_stopping": True},
    {"penalty_alpha": 0.6, "top_k": 4},
    {"penalty_alpha": 0.3, "top_k": 8},
    {"penalty_alpha": 0.9, "top_k": 3},
)
RANDOM_VARIANTS: tuple[dict[str, Any], ...] = (
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 3.0},
    {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 1.0, "early_stopping": True},
    {"num_beams": 6, "num_beam_groups": 2, "diversity_penalty": 1.5, "early_stopping": "never"},
    {"num_beams": 5, "num_beam_groups": 5, "diversity_penalty": 1.0, "length_penalty": 2.0},
    {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 0.8, "length_penalty": -1.0},
    {"num_beams": 8, "num_beam_groups": 4, "diversity_penalty": 2.5, "min_new_tokens": 12},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "max_new_tokens": 5, "early_stopping": True},
    {"penalty_alpha": 0.6, "top_k": 4},
    {"penalty_alpha": 0.2, "top_k": 12},
    {"penalty_alpha": 0.9, "top_k": 2},
    {"penalty_alpha": 1.0, "top_k": 6, "min_new_tokens": 10},
    {"penalty_alpha": 0.4, "top_k": 16, "max_new_tokens": 6},
)
MAX_NEW_TOKENS = 60


def save_windows(path: Path) -> None:
    """Write the mel frames of the clips in tests/data, by name."""
    from tests.parity.recordings import frozen_recordings, whole_window

    windows = {one.name: whole_window(one.waveform()).numpy() for one in frozen_recordings()}
    np.savez_compressed(path, **windows)


@torch.inference_mode()
def generate(model: WhisperForConditionalGeneration, window: Tensor, **arguments: Any) -> dict[str, Any]:
    """Return the tokens after the prompt, including eot, with their score or `breaks_rules_at`."""
    output = model.generate(
        encoder_outputs=BaseModelOutput(model.model.encoder(window[None]).last_hidden_state),
        return_timestamps=True,
        temperature=0.0,
        force_unique_generate_call=True,
        return_dict_in_generate=True,
        output_scores=True,
        **{"max_new_tokens": MAX_NEW_TOKENS, **arguments},
    )
    n_prompt = 3 if "language" in arguments else 1
    tokens = output.sequences[0, n_prompt:].tolist()
    eot = model.generation_config.eos_token_id
    if eot in tokens:
        tokens = tokens[: tokens.index(eot) + 1]
    if "penalty_alpha" not in arguments:
        return {"tokens": tokens, "score": float(output.sequences_scores[0])}
    # The scores of each step are filtered.
    forbidden = [
        index for index, token in enumerate(tokens) if float(output.scores[index][0, token]) == -torch.inf
    ]
    return {"tokens": tokens, "breaks_rules_at": forbidden[0] if forbidden else None}


def random_cases() -> Iterator[dict[str, Any]]:
    model = random_whisper()
    for arguments in RANDOM_VARIANTS:
        for seed in range(N_RANDOM):
            found = generate(model, random_window(seed), **arguments)
            yield {"model": RANDOM, "window": str(seed), "arguments": arguments, **found}


def real_cases(directory: Path, windows: Path) -> Iterator[dict[str, Any]]:
    model = WhisperForConditionalGeneration.from_pretrained(directory, torch_dtype=torch.float32).eval()
    name = directory.name.split("--")[1].rsplit("-", 2)[0]
    prompt_arguments = {"language": "en", "task": "transcribe"} if model.generation_config.is_multilingual else {}
    for window, frames in np.load(windows).items():
        for arguments in REAL_VARIANTS[
            :: 3 if prompt_arguments else 1
        ]:  # The multilingual model is larger and slower.
            found = generate(model, torch.from_numpy(frames), **prompt_arguments, **arguments)
            yield {"model": name, "window": window, "arguments": arguments, **found}


def freeze(windows: Path, directories: list[Path]) -> None:
    """Write the results for all windows, a line for each text."""
    cases = list(random_cases())
    for directory in directories:
        cases += real_cases(directory, windows)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    lines = ",\n".join(json.dumps(case) for case in cases)
    FROZEN.write_text(
        f'{{"made_with": {json.dumps(versions)},\n"max_new_tokens": {MAX_NEW_TOKENS},\n"cases": [\n{lines}\n]}}\n'
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["windows", path]:
            save_windows(Path(path))
        case ["texts", path, *directories]:
            freeze(Path(path), [Path(directory) for directory in directories])
        case _:
            raise SystemExit(__doc__)
