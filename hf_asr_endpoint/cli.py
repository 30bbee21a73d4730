"""The command `hf-asr`."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import os
import socket
import sys
from collections.abc import Sequence

import uvicorn
from pydantic import ValidationError

from hf_asr_endpoint import __version__
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.composition import cue_limits, load_transcriber, open_jobs, request_limits, served_names
from hf_asr_endpoint.config import VARIABLE_ONLY, Settings, default_of, flag_of, unknown_variables, variable_of
from hf_asr_endpoint.errors import AsrError, ModelUnavailable
from hf_asr_endpoint.transcription.deferred import DeferredTranscriber

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_USAGE = 0, 2
BACKLOG = 2048  # connections that wait to be accepted


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 2, with one sentence on stderr, for what the user can mend."""
    arguments = vars(_parser().parse_args(argv))
    del arguments["command"]
    if unknown := unknown_variables(os.environ):
        close = difflib.get_close_matches(unknown[0], map(variable_of, Settings.model_fields), n=1)
        return _fail(f"the variable {unknown[0]} is no setting; {f'use {close[0]}' if close else 'unset it'}")
    try:
        settings = Settings(**{name: value for name, value in arguments.items() if value is not None})
    except ValidationError as exc:
        return _fail(_explain(exc))
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("uvicorn.error", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
    # It warns of every broken form, which is the client's fault, and the client is told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    try:
        return serve(settings)
    except (AsrError, OSError) as exc:
        return _fail(str(exc))


def serve(settings: Settings) -> int:
    """Listen at once, load the model meanwhile, serve until a signal comes. Returns the exit code."""
    names = served_names(settings)
    listener = listen(settings.host, settings.port)
    failures: list[Exception] = []

    def stop(failure: Exception) -> None:
        failures.append(failure)
        server.should_exit = True

    transcriber = DeferredTranscriber(lambda report: load_transcriber(settings, report), on_failure=stop)
    app = create_app(
        transcriber,
        model_names=names,
        limits=request_limits(settings),
        cue_limits=cue_limits(settings),
        jobs=open_jobs(settings, transcriber),
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=settings.shutdown_timeout_s,
        )
    )
    transcriber.start()
    with listener:
        host, port = listener.getsockname()[:2]
        logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again once it has shut down.
            server.run(sockets=[listener])
    if not failures:
        return EXIT_OK
    if isinstance(failures[0], ModelUnavailable):
        return _fail(str(failures[0]))
    raise failures[0]


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        reason = exc.strerror or exc
        raise OSError(f"cannot listen on {host} port {port} ({reason}); give another --host or --port") from exc
    # Its connections inherit it. asyncio sets it only for sockets made with the protocol's number; without it the
    # end of each answer waits 40 ms for the client to acknowledge the beginning.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hf-asr", description="A Whisper server with the Hugging Face API.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("serve", help="serve a model over HTTP", description="Serve a model over HTTP.")
    for name, field in Settings.model_fields.items():
        if name in VARIABLE_ONLY:
            continue
        default = f" (default: {default_of(name)})" if default_of(name) else ""
        command.add_argument(
            flag_of(name),
            metavar=name.split("_")[-1].upper(),
            help=f"{field.description} [{variable_of(name)}]{default}".replace("%", "%%"),
        )
    return parser


def _explain(error: ValidationError) -> str:
    sentences = []
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0])
        if name in VARIABLE_ONLY:
            sentences.append(f"{variable_of(name)} cannot be used: {detail['msg']}")
        else:
            sentences.append(f"{flag_of(name)} ({variable_of(name)}) is {detail['input']!r}: {detail['msg']}")
    return "; ".join(sentences)


def _fail(sentence: str) -> int:
    print(f"hf-asr: error: {sentence}", file=sys.stderr)
    return EXIT_USAGE
