"""The connection to Ray, and the share of its machines that one engine gets. Knows no HTTP and no files.

Only this module and those of `ray_serve` and `ray_data` import Ray, which comes with the extra `ray`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import AsrError, InvalidSettings
from hf_asr_endpoint.model_choice import ModelChoice
from hf_asr_endpoint.setting_types import Device, read_replicas
from hf_asr_endpoint.whisper.cores import count_cores

try:
    import ray
except ImportError as exc:
    raise InvalidSettings("Ray is not installed; pip install 'hf-asr-endpoint[ray]'") from exc

LOCAL = "local"
"""The address that starts Ray in processes of this machine."""


CONNECT_TIMEOUT_S = 10.0


class ClusterUnreachable(AsrError):
    """There is no Ray at the address."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to Ray, and with LOCAL have started it. Raises ClusterUnreachable.

    address: of the cluster, as `ray.init` takes it, for example "auto" or "10.0.0.1:6379".
    """
    try:
        if address == LOCAL:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Nothing is told to its makers.
            # By default its processes have nearly the lowest priority: whatever else runs would come before them.
            os.environ.setdefault("RAY_worker_niceness", "0")
            # Of one machine there is little to manage: ten times a second took 3 % of a core.
            os.environ.setdefault("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "0.5")
            # Ray itself would count all cores of the machine, also where a container may use few of them.
            ray.init(address=LOCAL, num_cpus=count_cores(), include_dashboard=False)
        else:
            _check_port(address)
            ray.init(address=address)
    except (OSError, ValueError, RuntimeError) as exc:
        raise ClusterUnreachable(f"Ray cannot be reached at {address!r}: {exc}") from exc
    try:
        yield
    finally:
        ray.shutdown()


def _check_port(address: str) -> None:
    """Raise OSError if nobody listens at HOST:PORT: Ray would try for minutes."""
    host, separator, port = address.rpartition(":")
    if separator and "://" not in address and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineShare:
    """What each engine of a model gets, and how many of them there are."""

    cpus: int
    gpus: float
    fewest: int
    most: int

    @property
    def actor_options(self) -> dict[str, float]:
        """Ray gives an actor as many threads of OpenMP as CPUs, and those are what the engine computes with."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}


def share_engines(settings: Settings, choice: ModelChoice, *, n_models: int = 1) -> EngineShare:
    """Return the share of each engine of a model: what the settings say, else an equal part of what there is.

    Raises InvalidSettings for devices by name: Ray itself gives each engine its GPUs.
    """
    if len(choice.devices) > 1 or choice.devices[0] not in get_args(Device):
        raise InvalidSettings(
            f"--devices is {','.join(choice.devices)}; allowed on Ray, which chooses each engine's GPU: "
            f"{', '.join(get_args(Device))}; --ray-engine-replicas says how many engines there are"
        )
    fewest, most = read_replicas(settings.ray_engine_replicas)
    machines = _machines()
    gpus = settings.ray_engine_gpus
    if gpus is None:
        gpus = float(_uses_gpu(choice.devices[0], machines))
    cpus = settings.ray_engine_cpus
    if cpus is None:
        equal = sum(machine.cpus for machine in machines) // (most * n_models)
        cpus = 1 if gpus else max(1, min(equal, *(machine.cpus for machine in machines)))
    return EngineShare(cpus=cpus, gpus=gpus, fewest=fewest, most=most)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    cpus: int
    gpus: float


def _machines() -> list[_Machine]:
    """Return the machines that have CPUs. `serve run` connects to Ray only later; then this one stands for all."""
    if not ray.is_initialized():
        return [_Machine(cpus=count_cores() or 1, gpus=float(Path("/dev/nvidia0").exists()))]
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    machines = [_Machine(cpus=int(one.get("CPU", 0)), gpus=one.get("GPU", 0.0)) for one in resources]
    return [machine for machine in machines if machine.cpus] or [_Machine(cpus=1, gpus=0.0)]


def _uses_gpu(device: str, machines: list[_Machine]) -> bool:
    return device == "cuda" or (device == "auto" and any(machine.gpus for machine in machines))
