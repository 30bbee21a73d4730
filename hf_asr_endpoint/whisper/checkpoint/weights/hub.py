"""Downloads of checkpoints from the Hugging Face Hub: only the files that are needed, into its own cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_asr_endpoint.errors import ModelUnavailable

Format = Literal["transformers", "ctranslate2"]


def directory_format(directory: Path) -> Format:
    """Return the format that the config.json of `directory` is written in; the weights are not looked at.

    Raises ModelUnavailable when there is none, or when it is of another model than Whisper.
    """
    try:
        model_type = json.loads((directory / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError) as exc:
        raise ModelUnavailable(
            f"{directory} holds no Whisper model: its config.json is missing or no JSON object; "
            "give a directory written by transformers or CTranslate2"
        ) from exc
    if model_type is None:
        return "ctranslate2"  # Its config.json has a few token ids and never a type.
    if model_type != "whisper":
        raise ModelUnavailable(
            f"{directory} holds a model of type {model_type!r}, not Whisper; "
            "allowed: Whisper checkpoints of any size"
        )
    return "transformers"


_CONFIGURATION = ["*.json", "*.txt"]  # Tokenizer, configurations, and the weights' index.
_WEIGHTS: dict[Format, list[list[str]]] = {  # The first that are there are taken.
    "transformers": [
        ["model.safetensors", "model-*-of-*.safetensors"],
        ["pytorch_model.bin", "pytorch_model-*-of-*.bin"],
    ],
    "ctranslate2": [["model.bin"]],
}


def download(repo_id: str, *, revision: str | None) -> Path:
    """Return the local snapshot of a Whisper repository, transformers' format or CTranslate2's.

    A repository that is in the cache is used when the Hub cannot be reached. The token, the cache and the
    Hub's address are huggingface_hub's own settings (HF_TOKEN, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE).
    Raises ModelUnavailable.
    """
    # The small files first: they say which weights to look for, and whether this is Whisper at all.
    snapshot = _snapshot(repo_id, revision, _CONFIGURATION)
    for patterns in _WEIGHTS[directory_format(snapshot)]:
        snapshot = _snapshot(repo_id, revision, [*_CONFIGURATION, *patterns])
        if any(path for pattern in patterns for path in snapshot.glob(pattern)):
            return snapshot
    raise ModelUnavailable(
        f"model {repo_id!r} on the Hub has no weights in a known format; "
        "allowed: safetensors or PyTorch weights for transformers, or CTranslate2's model.bin"
    )


def _snapshot(repo_id: str, revision: str | None, patterns: list[str]) -> Path:
    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=patterns))
    except RevisionNotFoundError as exc:
        raise ModelUnavailable(
            f"model {repo_id!r} on the Hub has no revision {revision!r}; check the name"
        ) from exc
    except GatedRepoError as exc:
        raise ModelUnavailable(
            f"model {repo_id!r} on the Hub asks for permission; accept its terms there and set HF_TOKEN"
        ) from exc
    except RepositoryNotFoundError as exc:
        raise ModelUnavailable(
            f"model {repo_id!r} does not exist on the Hub or is private; check the name, or set HF_TOKEN"
        ) from exc
    except HFValidationError as exc:
        raise ModelUnavailable(
            f"model {repo_id!r} is neither a directory nor a name on the Hub such as openai/whisper-base"
        ) from exc
    except Exception as exc:  # Whatever the client's HTTP library raises passes through it.
        reason = (str(exc).strip() or type(exc).__name__).splitlines()[0]
        raise ModelUnavailable(
            f"model {repo_id!r} cannot be downloaded, because the Hub cannot be reached or refuses ({reason}); "
            "check the connection and HF_TOKEN, or use embedded:whisper-base or a directory"
        ) from exc
