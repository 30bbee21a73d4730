"""Install a client into an environment of its own, once for each lock file.

The environments lie in the user's cache folder, or in the folder that TEST_CLIENTS_DIR names. Clients conflict
with one another (openai 1, 2 and 3), so none shares an environment. Lock files name every package and version,
so nothing is resolved; uv links wheels from its cache, which takes a tenth of pip's time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests.clients.client import NODE, PYTHON, Client

MIN_NODE = 20
INSTALL_TIMEOUT_S = 300.0


class NotInstallable(Exception):
    """A client cannot be installed here: a program is missing, or the registry did not give it."""


def cache_folder() -> Path:
    """Return the folder of all environments."""
    if named := os.environ.get("TEST_CLIENTS_DIR"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf-asr-endpoint-tests"


def prepare_command(client: Client) -> list[str]:
    """Install a client, if it is not, and return the command that runs its script, without arguments.

    Raises NotInstallable.
    """
    match client.source:
        case "test extra":
            return [sys.executable, str(PYTHON / client.script)]
        case "pypi":
            return [str(_install_from_pypi(client.environment)), str(PYTHON / client.script)]
        case "npm":
            return ["node", str(_install_from_npm(client.environment) / client.script)]


def _install_from_pypi(environment: str) -> Path:
    """Return the Python of an environment."""
    lock = PYTHON / f"{environment}.txt"
    pins = lock.read_bytes() + sys.version.encode()
    folder = cache_folder() / f"{environment}-{hashlib.sha256(pins).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
    installed = folder / "installed"
    with FileLock(folder.with_suffix(".lock")):
        if not installed.exists():
            _run([*uv, "venv", "--clear", "--python", sys.executable, str(folder)])
            install = ["pip", "install", "--no-deps", "--only-binary", ":all:", "--python", str(python)]
            _run([*uv, *install, "--requirement", str(lock)])
            installed.touch()
    return python


def _install_from_npm(environment: str) -> Path:
    """Return a folder with an environment's packages and our scripts, which find packages beside themselves."""
    _check_node()
    source = NODE / environment
    pins = (source / "package-lock.json").read_bytes()
    folder = cache_folder() / f"node-{environment}-{hashlib.sha256(pins).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        shutil.copytree(source, folder, dirs_exist_ok=True)
        for script in NODE.glob("*.mjs"):
            shutil.copy(script, folder)
        # npm writes this file when everything else is there.
        if not (folder / "node_modules" / ".package-lock.json").exists():
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            _run(["npm", "ci", *options], cwd=folder)
    return folder


def _check_node() -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NotInstallable(f"{program} is not installed; install Node.js {MIN_NODE} or newer")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < MIN_NODE:
        raise NotInstallable(f"node is {version}; the clients need {MIN_NODE} or newer")


def _run(command: list[str], cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as exc:
        raise NotInstallable(f"{command[0]} took more than {INSTALL_TIMEOUT_S:.0f} s") from exc
    except subprocess.CalledProcessError as exc:
        raise NotInstallable(f"{' '.join(command)}: {' '.join(exc.stderr.split())[:500]}") from exc
