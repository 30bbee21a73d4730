"""The table of clients names what is really installed and run."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.clients.client import NODE, PYTHON, Client
from tests.clients.table import CLIENTS, LIVE_CLIENTS

ALL = (*CLIENTS, *LIVE_CLIENTS)


@pytest.mark.parametrize("client", ALL, ids=lambda client: f"{client.source}-{client.package}-{client.version}")
def test_the_version_in_the_table_is_the_installed_one(client: Client) -> None:
    match client.source:
        case "test extra":
            assert version(client.package) == client.version
        case "pypi":
            lock = (PYTHON / f"{client.environment}.txt").read_text().splitlines()
            assert f"{client.package}=={client.version}" in lock
        case "npm":
            lock = json.loads((NODE / client.environment / "package-lock.json").read_text())
            assert lock["packages"][f"node_modules/{client.package}"]["version"] == client.version


@pytest.mark.parametrize("path", sorted(PYTHON.glob("*.txt")), ids=lambda path: path.stem)
def test_locks_are_used_exact_and_small(path: Path) -> None:
    """torch and its like are gigabytes: no client needs them to send a file."""
    assert path.stem in {client.environment for client in ALL}
    for line in path.read_text().splitlines():
        package, is_pinned, _ = line.partition("==")
        assert is_pinned, line
        assert package not in ("torch", "transformers", "tensorflow", "onnxruntime")


def test_every_script_is_in_the_table() -> None:
    for kind, clients in (("calls", CLIENTS), ("live", LIVE_CLIENTS)):
        scripts = {path.name for path in (*PYTHON.glob(f"*_{kind}.py"), *NODE.glob(f"*_{kind}.mjs"))}
        assert scripts == {client.script for client in clients}
