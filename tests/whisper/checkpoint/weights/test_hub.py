"""The real client of huggingface_hub against a fake Hub on loopback.

The client reads the Hub's address when it is imported, so each call runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_asr_endpoint.whisper.checkpoint.loader import load_checkpoint
from tests.whisper.checkpoint.weights.fake_hub import Answer, FakeHub, Files
from tests.whisper.conftest import read_files

DEADLINE_S = 60

RESOLVE = """
import json, resource, sys
from pathlib import Path
from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.whisper.checkpoint.weights.resolve import resolve_model

reference, revision, cache_dir, max_file_bytes = sys.argv[1:]
if max_file_bytes:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(max_file_bytes),) * 2)
steps = []
try:
    directory = resolve_model(reference, revision=revision or None, cache_dir=Path(cache_dir), report=steps.append)
    print(json.dumps({"directory": str(directory), "steps": steps}))
except ModelUnavailable as exc:
    print(json.dumps({"refusal": str(exc), "steps": steps}))
"""

WHISPER = b'{"model_type": "whisper"}'
CTRANSLATE2 = b'{"suppress_ids": [], "suppress_ids_begin": []}'


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The client's folder for downloads and the token."""
    return tmp_path / "home"


def resolve(
    url: str,
    home: Path,
    reference: str,
    *,
    revision: str = "",
    environment: dict[str, str] | None = None,
    max_file_bytes: int | None = None,
) -> dict[str, Any]:
    """Return "directory" or "refusal", and the steps that were reported."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "*",
        **(environment or {}),
    }
    completed = subprocess.run(
        [
            sys.executable,
            "-c",
            RESOLVE,
            reference,
            revision,
            str(home.with_name("cache")),
            str(max_file_bytes or ""),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert completed.returncode == 0, completed.stderr
    outcome: dict[str, Any] = json.loads(completed.stdout)
    return outcome


def names_in(directory: str) -> set[str]:
    return {path.name for path in Path(directory).iterdir()}


def test_only_needed_files_of_a_transformers_repository_are_downloaded(
    hub: FakeHub, home: Path, tiny_en_directory: Path
) -> None:
    needed = read_files(tiny_en_directory)
    other = ("model.fp32-00001-of-00002.safetensors", "pytorch_model.bin", "flax_model.msgpack", "README.md")
    hub.repositories["someone/tiny.en"] = needed | dict.fromkeys(other, b"of no use")
    outcome = resolve(hub.url, home, "someone/tiny.en")
    assert outcome["steps"] == ["someone/tiny.en to be downloaded"]
    assert names_in(outcome["directory"]) == needed.keys()
    assert set(hub.requested) == needed.keys()
    assert load_checkpoint(Path(outcome["directory"]), device="cpu").info.n_mels == 80


def test_ctranslate2_repository_is_downloaded_and_converted(
    hub: FakeHub, home: Path, tiny_en_package: Path, tiny_en_directory: Path
) -> None:
    needed = {
        name: (tiny_en_package / name).read_bytes() for name in ("model.bin", "config.json", "tokenizer.json")
    }
    hub.repositories["someone/faster-tiny.en"] = needed | {"model.safetensors": b"of no use"}
    outcome = resolve(hub.url, home, "someone/faster-tiny.en")
    assert set(hub.requested) == needed.keys()
    assert len(outcome["steps"]) == 2
    assert read_files(Path(outcome["directory"])) == read_files(tiny_en_directory)


@pytest.mark.parametrize(
    ("weights", "needed"),
    [
        pytest.param(
            ["model.safetensors", "pytorch_model.bin", "model.bin"], {"model.safetensors"}, id="safetensors first"
        ),
        pytest.param(
            [
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "model.fp32-00001-of-00002.safetensors",
                "pytorch_model-00001-of-00001.bin",
            ],
            {
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            },
            id="in several files",
        ),
        pytest.param(["pytorch_model.bin", "training_args.bin"], {"pytorch_model.bin"}, id="PyTorch"),
        pytest.param(
            ["pytorch_model-00001-of-00001.bin", "optimizer.bin"],
            {"pytorch_model-00001-of-00001.bin"},
            id="PyTorch in several files",
        ),
    ],
)
def test_preferred_weights_are_downloaded(hub: FakeHub, home: Path, weights: list[str], needed: set[str]) -> None:
    hub.repositories["someone/model"] = {"config.json": WHISPER} | dict.fromkeys(weights, b"weights")
    outcome = resolve(hub.url, home, "someone/model")
    assert names_in(outcome["directory"]) == needed | {"config.json"}
    assert set(hub.requested) == needed | {"config.json"}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param(
            b'{"model_type": "bert"}',
            "is a model of type 'bert'; allowed: models that recognise speech",
            id="another model",
        ),
        pytest.param(b"nonsense", "is not a JSON object", id="damaged configuration"),
        pytest.param(None, "config.json is missing", id="no configuration"),
    ],
)
def test_weights_of_other_models_are_not_downloaded(
    hub: FakeHub, home: Path, config: bytes | None, reason: str
) -> None:
    files = {"model.safetensors": bytes(100), "model.bin": bytes(100), "tokenizer.json": b"{}"}
    hub.repositories["someone/model"] = files | ({} if config is None else {"config.json": config})
    assert reason in resolve(hub.url, home, "someone/model")["refusal"]
    assert {"model.safetensors", "model.bin"}.isdisjoint(hub.requested)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"config.json": WHISPER, "flax_model.msgpack": b"?"}, id="transformers"),
        pytest.param({"config.json": CTRANSLATE2, "model.safetensors": b"?"}, id="CTranslate2"),
    ],
)
def test_repository_without_weights_is_refused(hub: FakeHub, home: Path, files: Files) -> None:
    hub.repositories["someone/model"] = files
    assert "'someone/model' on the Hub has no weights" in resolve(hub.url, home, "someone/model")["refusal"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(Answer(status=404, headers={"X-Error-Code": "RepoNotFound"}), "does not exist", id="unknown"),
        pytest.param(Answer(status=401), "check the connection and HF_TOKEN", id="wrong token"),
        pytest.param(Answer(status=403, headers={"X-Error-Code": "GatedRepo"}), "accept its terms", id="gated"),
        pytest.param(
            Answer(status=404, headers={"X-Error-Code": "RevisionNotFound"}), "no revision 'v9'", id="revision"
        ),
        pytest.param(Answer(status=500), "500", id="server error"),
        pytest.param(Answer(status=403, body=b"go away"), "403 Forbidden", id="forbidden"),
        pytest.param(Answer(status=200, body=b"<html>Log in to our Wi-Fi"), "cannot be reached", id="not a Hub"),
        pytest.param(Answer(status=0), "cannot be reached", id="connection closed"),
    ],
)
def test_errors_of_the_hub_are_explained_in_one_line(
    hub: FakeHub, home: Path, answer: Answer, reason: str
) -> None:
    hub.answers["someone/model"] = answer
    refusal = resolve(hub.url, home, "someone/model", revision="v9")["refusal"]
    assert reason in refusal
    assert "'someone/model'" in refusal
    assert "\n" not in refusal


def test_message_says_that_the_hub_cannot_be_reached(home: Path) -> None:
    with socket.socket() as closed:  # It does not listen, and nobody else can get its port.
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        refusal = resolve(url, home, "openai/whisper-base")["refusal"]
    assert "the Hub cannot be reached" in refusal
    assert "Connection refused" in refusal
    assert "embedded:whisper-base" in refusal


def test_full_disk_is_not_reported_as_an_unreachable_hub(hub: FakeHub, home: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    hub.repositories["someone/model"] = {"config.json": WHISPER, "model.safetensors": bytes(2_000_000)}
    refusal = resolve(hub.url, home, "someone/model", max_file_bytes=1_000_000)["refusal"]
    assert "model 'someone/model' from the Hub cannot be stored" in refusal
    assert "File too large" in refusal
    assert "HF_HOME" in refusal


def test_download_folder_that_cannot_be_created_is_not_reported_as_an_unreachable_hub(
    hub: FakeHub, home: Path
) -> None:
    home.touch()
    hub.repositories["someone/model"] = {"config.json": WHISPER, "model.safetensors": b"weights"}
    refusal = resolve(hub.url, home, "someone/model")["refusal"]
    assert "model 'someone/model' from the Hub cannot be stored" in refusal
    assert str(home) in refusal


@pytest.mark.parametrize("kind", ["transformers", "ctranslate2"])
def test_downloaded_repository_is_used_without_the_hub(
    hub: FakeHub, home: Path, ctranslate2_directory: Path, kind: str
) -> None:
    transformers = {"config.json": WHISPER, "pytorch_model.bin": b"weights"}
    files = transformers if kind == "transformers" else read_files(ctranslate2_directory)
    hub.repositories["someone/model"] = files
    first = resolve(hub.url, home, "someone/model")
    assert "directory" in first
    hub.shutdown()
    hub.server_close()
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        assert resolve(hub.url, home, "someone/model", environment=environment) == first


def test_token_and_revision_are_sent_to_the_hub(hub: FakeHub, home: Path) -> None:
    hub.repositories["someone/model"] = {"config.json": WHISPER, "model.safetensors": b"weights"}
    resolve(hub.url, home, "someone/model", revision="v9", environment={"HF_TOKEN": "hf_secret"})
    assert hub.revisions == {"v9"}
    assert hub.authorizations == {"Bearer hf_secret"}


def test_default_revision_is_main(hub: FakeHub, home: Path) -> None:
    hub.repositories["someone/model"] = {"config.json": WHISPER, "model.safetensors": b"weights"}
    resolve(hub.url, home, "someone/model")
    assert hub.revisions == {"main"}


@pytest.mark.parametrize("reference", ["someone/whisper base", "so me", "someone/-model", "a--b", "embeded:base"])
def test_invalid_name_is_refused_without_a_request(hub: FakeHub, home: Path, reference: str) -> None:
    refusal = resolve(hub.url, home, reference)["refusal"]
    assert f"model {reference!r} is neither a directory nor a valid name on the Hub" in refusal
    assert hub.authorizations == set()
