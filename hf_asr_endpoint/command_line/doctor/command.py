"""The arguments of `hf-asr doctor`, and its report."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub.constants import HF_HUB_CACHE

from hf_asr_endpoint import __version__
from hf_asr_endpoint.command_line.doctor.advice import advise
from hf_asr_endpoint.command_line.doctor.self_test import SelfTest, run_self_test
from hf_asr_endpoint.command_line.exit_codes import EXIT_FAILED, EXIT_OK
from hf_asr_endpoint.command_line.setting_flags import (
    API_KEY_VARIABLE,
    ENGINE_SETTINGS,
    add_setting_flags,
    settings_of,
)
from hf_asr_endpoint.command_line.sizes import folder_bytes, show_bytes
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.engine_processes.start import load_on_devices
from hf_asr_endpoint.errors import AsrError
from hf_asr_endpoint.logs import configure_logging
from hf_asr_endpoint.model_choice import ModelChoice, choose_models
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import ModelInfo

if TYPE_CHECKING:
    from hf_asr_endpoint.whisper.machine import Machine

TITLE_WIDTH = 11  # characters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the settings that decide how fast a model is."""
    add_setting_flags(parser, ENGINE_SETTINGS)


def run(arguments: argparse.Namespace) -> int:
    """Print the report. Returns the exit code: 1 if the model cannot be loaded or gets the self-test wrong."""
    settings = settings_of(arguments, known=(API_KEY_VARIABLE,))
    configure_logging("warning", settings.log_format)
    _say("version", f"hf-asr-endpoint {__version__}, Python {platform.python_version()}, {platform.platform()}")
    is_cache_writable = _report_caches(settings)
    choices = choose_models(settings)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # before the model adds to it
    # The model first: loading it prepares the process before torch is imported.
    results = [_check_model(choice, settings) for choice in choices]
    # Imported here, because it imports torch.
    from hf_asr_endpoint.whisper.machine import describe_machine

    machine = describe_machine()
    _report_machine(machine)
    sentences = advise(
        machine,
        results[0],
        load=load,
        is_cache_writable=is_cache_writable,
        encoder_padding_s=settings.encoder_padding_s,
        slots=choices[0].slots,
    )
    for sentence in sentences or ["nothing here makes it faster; a smaller model would be, or a GPU"]:
        _say("faster", sentence)
    return EXIT_OK if all(info is not None for info in results) else EXIT_FAILED


def _report_caches(settings: Settings) -> bool:
    """Say where caches are. Returns whether ours can be written."""
    folder = settings.cache_dir
    is_writable = _is_writable(folder)
    sizes = (f"{name} {show_bytes(folder_bytes(folder / name))}" for name in ("converted", "kernels"))
    state = f"{', '.join(sizes)}, {show_bytes(_free_bytes(folder))} free" if is_writable else "CANNOT BE WRITTEN"
    _say("cache", f"{folder}: {state}")
    hub = Path(HF_HUB_CACHE)
    _say("hub cache", f"{hub}: {show_bytes(folder_bytes(hub)) if hub.is_dir() else 'empty'}")
    return is_writable


def _check_model(choice: ModelChoice, settings: Settings) -> ModelInfo | None:
    """Load a model and test it. Returns what is known of it, None where one of the two fails."""
    started_s = time.perf_counter()
    try:
        with contextlib.closing(load_on_devices(choice, settings, lambda _: None)) as transcriber:
            load_s = time.perf_counter() - started_s
            info = _describe(choice, transcriber, load_s=load_s)
            language = "en" if info.is_multilingual else None
            slots = transcriber.activity().slots
            test = asyncio.run(run_self_test(transcriber, slots=slots, language=language))
    except AsrError as exc:
        _say("model", f"{choice.model}: FAILED: {exc}")
        return None
    # Only of Whisper is it known what it must hear.
    is_right = test.is_right if info.is_whisper else None
    _report_test(test, is_right=is_right, slots=slots)
    return None if is_right is False else info


def _describe(choice: ModelChoice, transcriber: Transcriber, *, load_s: float) -> ModelInfo:
    info = transcriber.health().model
    assert info is not None
    kind = "multilingual" if info.is_multilingual else "English" if info.is_whisper else "not Whisper"
    size = show_bytes(info.memory_bytes)
    _say("model", f"{choice.model}: {kind}, {size} in memory, loaded in {load_s:.1f} s")
    kernels = f", kernels for {info.cpu_level}" if info.cpu_level else ", torch's operators"
    _say("engine", f"{info.engine}: {info.engine_reason}")
    _say("runs on", f"{info.device} in {info.dtype}{kernels}, {transcriber.activity().slots} slots")
    return info


def _report_test(test: SelfTest, *, is_right: bool | None, slots: int) -> None:
    """Say what was heard, and how fast. is_right: None where that is not known."""
    heard = (
        f"heard {test.text!r}"
        if is_right is None
        else "heard right"
        if is_right
        else f"HEARD WRONG: {test.text!r}"
    )
    _say(
        "self-test",
        f"{test.audio_s:.1f} s of speech in {test.latency_s * 1000:.0f} ms, {heard}; "
        f"{slots} at a time: {test.speed:.0f} × real time (longer audio is faster)",
    )


def _report_machine(machine: Machine) -> None:
    _say("processor", f"{machine.processor}; kernels: {', '.join(machine.levels) or 'none run here'}")
    quota = "no quota" if machine.quota is None else f"a quota of {machine.quota:g}"
    _say("cores", f"{machine.n_cores} may be used ({machine.n_logical} logical processors, {quota})")
    reason = f", set by {machine.forced_threads}" if machine.forced_threads else ""
    _say("threads", f"{machine.n_threads}{reason}")
    _say("devices", f"{', '.join(machine.devices)}, as torch {machine.torch} says")


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _say(title: str, text: str) -> None:
    print(f"{title:<{TITLE_WIDTH}} {text}", flush=True)
