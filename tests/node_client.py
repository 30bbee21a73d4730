"""OpenAI's and DeepInfra's Node packages, installed from the registry into a cache, once for each lock file.

DeepInfra's names two compilers as dependencies that it never loads: `overrides` keep their 100 MB away.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

SOURCE = Path(__file__).parent / "node"
MIN_NODE = 20
INSTALL_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 180.0


def install() -> Path:
    """Return a folder with the packages and our scripts. Skips the test, with the reason, where that cannot be."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < MIN_NODE:
        pytest.skip(f"node is {version}; OpenAI's client needs {MIN_NODE} or newer")
    lock = (SOURCE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf-asr-endpoint-tests"
    folder = cache / f"node-{hashlib.sha256(lock).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
        # npm writes this file when everything else is there.
        if not (folder / "node_modules" / ".package-lock.json").exists():
            _run_npm(folder)
    return folder


def _run_npm(folder: Path) -> None:
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--loglevel=error"]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install the clients within {INSTALL_TIMEOUT_S:.0f} s")
    except subprocess.CalledProcessError as exc:
        pytest.skip(f"npm did not install the clients: {' '.join(exc.stderr.split())[:300]}")


def run_script(path: Path, *arguments: str) -> Any:
    """Run a script with node and return the JSON that it prints."""
    done = subprocess.run(
        ["node", str(path), *arguments], capture_output=True, text=True, check=False, timeout=RUN_TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
