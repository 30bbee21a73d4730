"""What the processor is called, and how fast a level of kernels it has."""

from __future__ import annotations

import platform
from pathlib import Path

from hf_asr_endpoint.whisper.kernels.processor import choose_level

CPU_INFO = Path("/proc/cpuinfo")


def processor_name() -> str:
    """Return the processor's name, as the system reports it."""
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def describe_processor(cpu_level: str = "auto") -> str:
    """Return the processor's name and the level in use: virtual machines hide of what generation they are."""
    return f"{processor_name()} ({choose_level(cpu_level) or 'no kernels'})"
