"""Downloads models from the Hugging Face Hub into huggingface_hub's cache: only the files that are needed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.formats import (
    CONFIGURATION_PATTERNS,
    WEIGHT_PATTERNS,
    directory_format,
)


def download(repo_id: str, *, revision: str | None) -> Path:
    """Return the local copy of a Whisper repository in transformers' or CTranslate2's format.

    A copy in the cache is used when the Hub cannot be reached. The token, the cache and the Hub's address are
    settings of huggingface_hub (HF_TOKEN, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE).
    Raises ModelUnavailable.
    """
    # The small files first: they show whether this is Whisper at all, and in which format.
    snapshot = _snapshot(repo_id, revision, CONFIGURATION_PATTERNS)
    for patterns in WEIGHT_PATTERNS[directory_format(snapshot)]:
        snapshot = _snapshot(repo_id, revision, (*CONFIGURATION_PATTERNS, *patterns))
        if any(path for pattern in patterns for path in snapshot.glob(pattern)):
            return snapshot
    raise ModelUnavailable(
        f"model {repo_id!r} on the Hub has no weights in a known format; "
        "allowed: safetensors or PyTorch weights for transformers, or CTranslate2's model.bin"
    )


def _snapshot(repo_id: str, revision: str | None, patterns: Iterable[str]) -> Path:
    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(patterns)))
    except RevisionNotFoundError as exc:
        raise ModelUnavailable(
            f"model {repo_id!r} on the Hub has no revision {revision!r}; check the name"
        ) from exc
    except GatedRepoError as exc:
        raise ModelUnavailable(
            f"model {repo_id!r} on the Hub requires permission; accept its terms there and set HF_TOKEN"
        ) from exc
    except RepositoryNotFoundError as exc:
        raise ModelUnavailable(
            f"model {repo_id!r} does not exist on the Hub or is private; check the name, or set HF_TOKEN"
        ) from exc
    except HFValidationError as exc:
        raise ModelUnavailable(
            f"model {repo_id!r} is neither a directory nor a valid name on the Hub such as openai/whisper-base"
        ) from exc
    except Exception as exc:  # The errors of the client's HTTP library pass through it.
        reason = (str(exc).strip() or type(exc).__name__).splitlines()[0]
        if _is_disk_error(exc):
            raise ModelUnavailable(
                f"model {repo_id!r} from the Hub cannot be stored ({reason}); "
                "free disk space, or give a folder that this process may write to as HF_HOME"
            ) from exc
        raise ModelUnavailable(
            f"model {repo_id!r} cannot be downloaded, because the Hub cannot be reached or refuses ({reason}); "
            "check the connection and HF_TOKEN, or use embedded:whisper-base or a directory"
        ) from exc


def _is_disk_error(exc: Exception) -> bool:
    """Return whether the system refused to write. The client's own OSErrors, about the network, have no errno."""
    return (
        isinstance(exc, OSError) and exc.errno is not None and not isinstance(exc, ConnectionError | TimeoutError)
    )
