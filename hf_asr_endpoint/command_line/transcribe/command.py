"""The arguments of `hf-asr transcribe`, and what comes of them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hf_asr_endpoint.command_line.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from hf_asr_endpoint.command_line.setting_flags import (
    API_KEY_VARIABLE,
    ENGINE_SETTINGS,
    add_setting_flags,
    given_settings,
    settings_of,
)
from hf_asr_endpoint.command_line.transcribe.backend import Backend
from hf_asr_endpoint.command_line.transcribe.form import Form, read_form, read_shape
from hf_asr_endpoint.command_line.transcribe.formats import FORMATS, Format, Look, parse_formats
from hf_asr_endpoint.command_line.transcribe.inputs import find_recordings
from hf_asr_endpoint.command_line.transcribe.outputs import Work, plan
from hf_asr_endpoint.command_line.transcribe.progress import open_reporter
from hf_asr_endpoint.command_line.transcribe.reporter import Reporter
from hf_asr_endpoint.command_line.transcribe.totals import Totals
from hf_asr_endpoint.command_line.transcribe.work import Worker
from hf_asr_endpoint.composition import cue_limits
from hf_asr_endpoint.config import Settings, flag_of
from hf_asr_endpoint.errors import InvalidSettings
from hf_asr_endpoint.logs import configure_logging
from hf_asr_endpoint.model_choice import choose_models
from hf_asr_endpoint.types import TASKS

SUBTITLE_SETTINGS = ("subtitle_max_s", "subtitle_max_characters", "subtitle_max_fullwidth_characters")
RAY_SETTINGS = ("ray_engine_replicas", "ray_engine_cpus", "ray_engine_gpus")
MAX_FAILURES_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="audio or video files, folders, patterns, or - for the standard input",
    )
    _add_file_arguments(parser.add_argument_group("files"))
    _add_text_arguments(parser.add_argument_group("text"))
    server = parser.add_argument_group("server", "use a running server instead of an engine in this process")
    server.add_argument("--server", metavar="URL", help="the server, such as http://localhost:8000")
    server.add_argument(
        "--api-key",
        metavar="KEY",
        help=f"API key for it; better as a variable, since other users can read flags [{API_KEY_VARIABLE}]",
    )
    _add_ray_arguments(parser.add_argument_group("Ray", "use the engines of a Ray cluster (docs/ray.md)"))
    add_setting_flags(parser.add_argument_group("engine"), ENGINE_SETTINGS)
    add_setting_flags(parser.add_argument_group("subtitles"), SUBTITLE_SETTINGS)
    add_setting_flags(parser.add_argument_group("log"), ("log_level", "log_format"))


def _add_file_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        *("-o", "--output"),
        type=Path,
        metavar="FOLDER",
        help="folder for the texts (default: beside each file; for the standard input, the standard output)",
    )
    group.add_argument(
        "--format",
        help=f"formats of the texts, with commas: {', '.join(FORMATS)} (default: txt, or with --results none)",
    )
    group.add_argument("--recursive", action="store_true", help="look into the folders in folders, too")
    group.add_argument(
        "--force", action="store_true", help="transcribe again what has its texts, and replace them"
    )


def _add_ray_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="address of the cluster, such as auto or 10.0.0.1:6379; local starts Ray on this machine. "
        "Files may then be URIs, such as s3://bucket/calls",
    )
    group.add_argument(
        "--results",
        type=Path,
        metavar="PATH",
        help="table of all transcriptions: a file .jsonl, or a folder .parquet. What it has is not done again",
    )
    add_setting_flags(group, RAY_SETTINGS)


def _add_text_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--language", help="spoken language, such as de or german (default: detected)")
    group.add_argument("--task", choices=TASKS, default="transcribe", help="translate: into English")
    group.add_argument("--words", action="store_true", help="times of words in json")
    group.add_argument("--prompt", help="text taken to come before, for names and spelling")
    group.add_argument("--hotwords", help="words to expect everywhere")
    group.add_argument(
        "--beams", dest="num_beams", metavar="N", help="beams at temperature 0 (default: 1, greedy)"
    )
    group.add_argument(
        "--temperature", help="0 (default): greedy with fallback; up to 1: sample, without fallback"
    )
    group.add_argument("--seed", help="start value of sampling (default: 0)")
    group.add_argument("--audio-track", metavar="N", help="audio track of a film, from 0 (default: chosen)")
    group.add_argument("--max-line-width", type=int, metavar="N", help="characters in a line of a subtitle")
    group.add_argument("--max-line-count", type=int, metavar="N", help="lines of a subtitle")
    group.add_argument("--max-words-per-line", type=int, metavar="N", help="words in a line of a subtitle")
    group.add_argument(
        "--highlight-words", action="store_true", help="mark each word of a subtitle while it is said"
    )


def run(arguments: argparse.Namespace) -> int:
    """Transcribe. Returns the exit code: 1 if a recording has failed. Raises AsrError and OSError."""
    settings = settings_of(arguments, known=(API_KEY_VARIABLE,))
    # Of the engine's log, only what is wrong matters here, unless the user asks.
    level = settings.log_level if "log_level" in settings.model_fields_set else "warning"
    configure_logging(level, settings.log_format)
    formats = _formats(arguments)
    form = read_form(arguments, formats)
    look = Look(cue_limits=cue_limits(settings), shape=read_shape(arguments, formats), shows_words=arguments.words)
    if arguments.ray is not None:
        quiet = settings.model_copy(update={"log_level": level})  # for the engines' processes
        return _run_on_ray(arguments, quiet, formats, form, look)
    if arguments.results is not None:
        raise InvalidSettings("--results is for Ray; allowed: with --ray")
    if of_ray := [name for name in RAY_SETTINGS if name in given_settings(arguments)]:
        raise InvalidSettings(f"{flag_of(of_ray[0])} is for Ray; allowed: with --ray")
    backend = _backend(arguments, settings, form)
    recordings = find_recordings(arguments.files, recursive=arguments.recursive)
    works = plan(recordings, formats, folder=arguments.output, overwrites=arguments.force)
    lacking = [work for work in works if work.targets]
    if n_done := len(works) - len(lacking):
        _say(f"{n_done} of {len(works)} files have their texts already and are skipped; --force does them again")
    if not lacking:
        return EXIT_OK

    def work(totals: Totals, reporter: Reporter) -> None:
        worker = Worker(backend=backend, look=look, reporter=reporter, totals=totals)
        asyncio.run(_until_signal(worker, lacking))

    return _work_on(lacking, work)


def _formats(arguments: argparse.Namespace) -> tuple[Format, ...]:
    """Return the formats of the texts. Raises InvalidParameter."""
    if arguments.format is None and arguments.results is not None:
        return ()
    return parse_formats("txt" if arguments.format is None else arguments.format)


def _run_on_ray(
    arguments: argparse.Namespace, settings: Settings, formats: tuple[Format, ...], form: Form, look: Look
) -> int:
    # Imported here, because it needs the extra `ray`.
    from hf_asr_endpoint.command_line.transcribe.archive import Archive, find_archive
    from hf_asr_endpoint.command_line.transcribe.results import open_results

    if arguments.server is not None or arguments.api_key is not None:
        raise InvalidSettings("--server and --api-key are for a server; allowed: without --ray")
    recordings = find_archive(arguments.files, recursive=arguments.recursive)
    works = plan(recordings, formats, folder=arguments.output, overwrites=arguments.force)
    results = None
    if arguments.results is not None:
        results = open_results(arguments.results, overwrites=arguments.force, shows_words=arguments.words)
    with contextlib.closing(results) if results is not None else contextlib.nullcontext():
        rows: set[str] = set() if results is None else results.done()
        lacking = [
            work for work in works if work.targets or (results is not None and work.recording.location not in rows)
        ]
        if n_done := len(works) - len(lacking):
            _say(f"{n_done} of {len(works)} recordings are done already and are skipped; --force does them again")

        def work(totals: Totals, reporter: Reporter) -> None:
            Archive(
                address=arguments.ray,
                settings=settings,
                options=form.options,
                look=look,
                reporter=reporter,
                totals=totals,
                results=results,
            ).work_on(lacking)

        return _work_on(lacking, work) if lacking else EXIT_OK


def _backend(arguments: argparse.Namespace, settings: Settings, form: Form) -> Backend:
    """Return what makes the transcriptions. Raises InvalidSettings for flags of the other way."""
    # Imported here: the one imports an HTTP client, the other the engine.
    if arguments.server is None:
        from hf_asr_endpoint.command_line.transcribe.engine import EngineBackend

        if arguments.api_key is not None:
            raise InvalidSettings("--api-key is for a server; allowed: with --server")
        choices = choose_models(settings)
        if len(choices) > 1:
            raise InvalidSettings(f"there are {len(choices)} models; allowed: one --model")
        return EngineBackend(choices[0], settings, form.options)
    from hf_asr_endpoint.command_line.transcribe.remote import ServerBackend

    given = given_settings(arguments)
    if of_engine := [name for name in ENGINE_SETTINGS if name in given and name != "model"]:
        raise InvalidSettings(
            f"{flag_of(of_engine[0])} is for an engine in this process; allowed: without --server"
        )
    if len(models := given.get("model", [None])) > 1:
        raise InvalidSettings(f"there are {len(models)} models; allowed: one --model")
    api_key = arguments.api_key or os.environ.get(API_KEY_VARIABLE)
    return ServerBackend(arguments.server, api_key=api_key, model=models[0], form=form)


def _work_on(works: Sequence[Work], work: Callable[[Totals, Reporter], None]) -> int:
    """Have `work` done, and tell what came of it. Returns the exit code."""
    totals = Totals(works)
    is_interrupted = False
    try:
        with open_reporter(totals) as reporter:
            work(totals, reporter)
    except (KeyboardInterrupt, asyncio.CancelledError):
        is_interrupted = True
    _say(_summary(totals))
    for failed, error in totals.failures[:MAX_FAILURES_SHOWN]:
        _say(f"failed: {failed.recording.shown}: {error}")
    if (n_hidden := len(totals.failures) - MAX_FAILURES_SHOWN) > 0:
        _say(f"and {n_hidden} more")
    if is_interrupted:
        _say("interrupted; the same command goes on with the files that have no texts yet")
        return EXIT_INTERRUPTED
    return EXIT_FAILED if totals.failures else EXIT_OK


async def _until_signal(worker: Worker, works: Sequence[Work]) -> None:
    """Work, and end on SIGTERM as asyncio ends on SIGINT."""
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # On Windows, asyncio takes no signals.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await worker.work_on(works)


def _summary(totals: Totals) -> str:
    n_failed = len(totals.failures)
    return (
        f"{totals.n_ended - n_failed} of {totals.n_files} files transcribed, {n_failed} failed; "
        f"{totals.audio_s:.0f} s of audio in {totals.elapsed_s:.1f} s, {totals.speed:.1f} × real time"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
