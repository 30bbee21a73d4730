"""Downloads of checkpoints from the Hugging Face Hub: only the files that are needed, into its own cache."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_asr_endpoint.errors import ModelUnavailable

_CONFIGURATION = ["*.json", "*.txt"]  # Tokenizer, configurations, and the weights' index.
_SAFETENSORS = ["model.safetensors", "model-*-of-*.safetensors"]
_TORCH = ["pytorch_model.bin", "pytorch_model-*-of-*.bin"]
_CTRANSLATE2 = ["model.bin"]


def download(repo_id: str, *, revision: str | None) -> Path:
    """Return the local snapshot of a Whisper repository, transformers' format or CTranslate2's.

    A repository that is in the cache is used when the Hub cannot be reached. The token, the cache and the
    Hub's address are huggingface_hub's own settings (HF_TOKEN, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE).
    Raises ModelUnavailable.
    """
    snapshot = _snapshot(repo_id, revision, _CONFIGURATION)
    for patterns in _weight_patterns(snapshot):
        snapshot = _snapshot(repo_id, revision, [*_CONFIGURATION, *patterns])
        if any(path for pattern in patterns for path in snapshot.glob(pattern)):
            return snapshot
    raise ModelUnavailable(
        f"model {repo_id!r} on the Hub has no weights in a known format; "
        "allowed: safetensors or PyTorch weights for transformers, or CTranslate2's model.bin"
    )


def _weight_patterns(snapshot: Path) -> list[list[str]]:
    config = snapshot / "config.json"
    if config.exists() and "model_type" not in json.loads(config.read_bytes()):
        return [_CTRANSLATE2]
    return [_SAFETENSORS, _TORCH]


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
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as exc:
        raise ModelUnavailable(
            f"model {repo_id!r} cannot be downloaded, because the Hub cannot be reached "
            f"({str(exc).splitlines()[0]}); check the connection, or use embedded:whisper-base or a directory"
        ) from exc
