"""A model's settings to its Transcriber: one engine in this process, or one for each device in its own process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait

from hf_asr_endpoint.config import Settings, without_secrets
from hf_asr_endpoint.engine.turns import Turns
from hf_asr_endpoint.engine_processes.engine import REPORT_INTERVAL_S, EngineOrder
from hf_asr_endpoint.engine_processes.placement import name_devices, place_engines
from hf_asr_endpoint.engine_processes.process import EngineProcess
from hf_asr_endpoint.engine_processes.transcriber import EngineProcesses
from hf_asr_endpoint.loading import count_gpus, load_transcriber
from hf_asr_endpoint.model_choice import ModelChoice
from hf_asr_endpoint.transcription.transcriber import Transcriber

logger = logging.getLogger(__name__)


def load_on_devices(
    choice: ModelChoice, settings: Settings, report: Callable[[str], None], *, turns: Turns | None = None
) -> Transcriber:
    """Load a model on its devices and return a Transcriber. Takes seconds to minutes.

    report, turns: as of `load_transcriber`. Raises ModelUnavailable.
    """
    report = _without_repeats(report)
    devices = _named_devices(choice, report)
    if not devices:
        return load_transcriber(choice, settings, report, turns=turns)
    # Each engine refuses what would wait for it alone.
    share = {"max_waiting_audio_s": settings.max_waiting_audio_s / len(devices)}
    of_engines = without_secrets(settings).model_copy(update=share)
    log_level = logging.getLogger().level  # Commands other than `serve` log less than the setting says.
    engines = [
        EngineProcess(EngineOrder(place=place, choice=choice, settings=of_engines, log_level=log_level))
        for place in place_engines(devices)
    ]
    logger.info("engines on %s, each in a process of its own", ", ".join(engine.name for engine in engines))
    for engine in engines:
        engine.start()
    try:
        _wait_until_loaded(engines, report)
        return EngineProcesses(engines)
    except BaseException:
        for engine in engines:
            engine.begin_to_close()
        for engine in engines:
            engine.close()
        raise


def _named_devices(choice: ModelChoice, report: Callable[[str], None]) -> tuple[str, ...]:
    """Return the devices that get a process each. Raises ModelUnavailable for one that does not exist."""
    # A library that spreads one model over several GPUs, as transformers' engine may, needs all of them.
    is_open = choice.devices[0] == "auto" and choice.engine != "transformers"
    n_gpus = 0
    if is_open or any(device.startswith("cuda:") for device in choice.devices):
        report("torch to be imported")
        n_gpus = count_gpus()
    return name_devices(choice.devices, n_gpus=n_gpus)


def _wait_until_loaded(engines: Sequence[EngineProcess], report: Callable[[str], None]) -> None:
    """Tell what is waited for until all engines are loaded. Raises what one of them failed with."""
    while loading := [engine for engine in engines if not engine.loaded.done()]:
        report(f"{loading[0].name}: {loading[0].state.detail}")
        wait([engine.loaded for engine in loading], timeout=REPORT_INTERVAL_S, return_when=FIRST_EXCEPTION)
        _raise_failures(engines)
    _raise_failures(engines)


def _raise_failures(engines: Sequence[EngineProcess]) -> None:
    for engine in engines:
        if engine.loaded.done():
            engine.loaded.result()


def _without_repeats(report: Callable[[str], None]) -> Callable[[str], None]:
    """Return a report that is called for steps that differ from the one before."""
    told = ""

    def report_new(step: str) -> None:
        nonlocal told
        if step != told:
            told = step
            report(step)

    return report_new
