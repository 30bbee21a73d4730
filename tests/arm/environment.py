"""An aarch64 Python with torch and numba, in a folder: Debian's packages for arm64, and wheels from PyPI.

Nothing is installed on this machine: packages are downloaded and unpacked. Takes 1.5 GB of disk.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = Path(__file__).with_name("packages.txt")

LIBRARIES = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libbz2-1.0", "liblzma5", "libexpat1", "libffi8", "libssl3"),
    *("libsqlite3-0", "libuuid1", "libcrypt1", "libtinfo6", "libncursesw6", "libreadline8"),
)
"""What Python, torch and numba link to."""

PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")


class Missing(Exception):
    """Something that the tests need is not to be had here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEnvironment:
    """folder: of all files. version: of Python, as in "3.11"."""

    folder: Path
    version: str

    def command(self, *args: str, processor: str) -> list[str]:
        """Return the command that runs this Python with arguments. processor: one of qemu's names."""
        python = self.folder / "system" / "usr" / "bin" / f"python{self.version}"
        variables = {"PYTHONPATH": f"{self.folder / 'site'}:{Path.cwd()}", "OMP_NUM_THREADS": "2"}
        settings = [part for name, value in variables.items() for part in ("-E", f"{name}={value}")]
        emulator = ["qemu-aarch64", "-cpu", processor, "-L", str(self.folder / "system"), *settings]
        return [*emulator, str(python), *args]


def prepare(folder: Path) -> ArmEnvironment:
    """Return the environment in a folder, and make it if it is not there. Raises Missing."""
    for program, package in (("qemu-aarch64", "qemu-user"), ("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        if shutil.which(program) is None:
            raise Missing(f"{program} is missing (Debian's package {package})")
    folder.mkdir(parents=True, exist_ok=True)
    is_complete = folder / f"complete-{PACKAGES.stat().st_mtime_ns}"
    if not is_complete.exists():
        _unpack_debian(folder)
        _install_wheels(folder, _python_version(folder))
        is_complete.touch()
    return ArmEnvironment(folder=folder, version=_python_version(folder))


def _unpack_debian(folder: Path) -> None:
    """Download Debian's packages for arm64 with lists of their own, so that this machine's apt is left alone."""
    apt, system = folder / "apt", folder / "system"
    for name in ("lists/partial", "archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Dir::State::Lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Debug::NoLocking": "1",
    }
    apt_get = ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt_get, "update"], cwd=apt)
    version = _debian_python(options)
    python = [f"python{version}", f"python{version}-minimal", f"libpython{version}-minimal"]
    _run([*apt_get, "download", *python, f"libpython{version}-stdlib", *LIBRARIES], cwd=apt)
    for package in apt.glob("*.deb"):
        _run(["dpkg-deb", "--extract", package.name, str(system)], cwd=apt)


def _debian_python(options: dict[str, object]) -> str:
    """Return the version of the release's Python, as in "3.11"."""
    command = ["apt-cache", *(f"-o{name}={value}" for name, value in options.items()), "show", "python3-minimal"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in shown.splitlines():
        name, _, value = line.partition(": ")
        if name == "Version":
            return ".".join(value.split(".")[:2])
    raise Missing("apt's sources have no Python for arm64")


def _python_version(folder: Path) -> str:
    (python,) = (folder / "system" / "usr" / "bin").glob("python3.[0-9]*[0-9]")
    return python.name.removeprefix("python")


def _install_wheels(folder: Path, version: str) -> None:
    """Dependencies are not followed: pip would choose them for this machine's processor."""
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    target = ["--target", str(folder / "site"), "--upgrade"]
    _run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary", ":all:", "--python-version", version, *platforms, *target),
            *("--requirement", str(PACKAGES)),
        ],
        cwd=folder,
    )


def _run(command: Sequence[str], *, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Missing(f"{command[0]} failed: {' '.join(last)}")
