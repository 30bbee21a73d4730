"""`hf-asr serve`: listens, loads the model meanwhile, and serves until a signal arrives."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address

import uvicorn

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.connections import ConnectionLimits, limited_protocol
from hf_asr_endpoint.api.realtime.messages import MAX_MESSAGE_BYTES
from hf_asr_endpoint.api.wyoming.server import WyomingPort
from hf_asr_endpoint.command_line.exit_codes import EXIT_OK
from hf_asr_endpoint.command_line.setting_flags import add_setting_flags, settings_of
from hf_asr_endpoint.composition import open_services
from hf_asr_endpoint.config import Settings, flag_of
from hf_asr_endpoint.errors import InvalidSettings
from hf_asr_endpoint.file_limit import raise_file_limit
from hf_asr_endpoint.logs import configure_logging
from hf_asr_endpoint.tracing import start_tracing

logger = logging.getLogger(__name__)

BACKLOG = 2048  # connections that wait to be accepted
FILES_PER_CONNECTION = 2  # its socket, and the file that its upload is in
OTHER_FILES = 200  # libraries, the model, jobs, and files that are being decoded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting, and where the server runs."""
    parser.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="serve on Ray: on the cluster at this address, such as auto or 10.0.0.1:6379; without one on "
        "this machine (docs/ray.md)",
    )
    add_setting_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read the settings and serve. Returns the exit code."""
    settings = settings_of(arguments)
    configure_logging(settings.log_level, settings.log_format)
    if arguments.ray is not None:
        # Imported here, because it needs the extra `ray`.
        from hf_asr_endpoint.command_line.serve_ray import serve_on_ray

        return serve_on_ray(settings, arguments.ray)
    if of_ray := [name for name in settings.model_fields_set if name.startswith("ray_")]:
        raise InvalidSettings(f"{flag_of(of_ray[0])} is for a server on Ray; allowed: with --ray")
    return serve(settings)


def serve(settings: Settings) -> int:
    """Listen at once, load the model meanwhile, serve until a signal arrives. Returns the exit code."""
    _check_wyoming_keys(settings)
    start_tracing()
    failures: list[Exception] = []

    def stop(failure: Exception) -> None:
        failures.append(failure)
        server.should_exit = True

    limits = connection_limits(settings)
    with (
        listen(settings.host, settings.port, send_timeout_s=settings.send_timeout_s) as listener,
        _listen_for_wyoming(settings, max_connections=limits.max_connections) as wyoming,
    ):
        services = open_services(settings, on_load_failure=stop)
        if settings.api_keys_file is not None:
            _reload_keys_on_hangup(services.access)
        server = _Server(
            uvicorn.Config(
                create_app(services, wyoming=wyoming),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # Nothing here depends on the client's address, or on the scheme.
                ws="websockets-sansio",
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,
                http=limited_protocol(limits),
                lifespan="on",
                timeout_graceful_shutdown=settings.shutdown_timeout_s,
            ),
            on_stop=services.jobs.end_watches if services.jobs else lambda: None,
            drain=lambda: services.live.drain(settings.shutdown_timeout_s),
        )
        logger.info("listening on http://%s", _address(listener))
        host = listener.getsockname()[0]
        if services.access is None and not ip_address(host).is_loopback:
            logger.warning("no API keys are set: whoever reaches %s may use the server", host)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after its shutdown.
            server.run(sockets=[listener])
    if failures:
        raise failures[0]
    return EXIT_OK


class _Server(uvicorn.Server):
    """Tells when it is to stop. Then it waits for its responses, also for those that end only with a job.

    drain: has sockets end, which uvicorn would close at once.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        on_stop: Callable[[], None],
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(config)
        self._on_stop = on_stop
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        for server in self.servers:
            server.close()
        await self._drain()
        await super().shutdown(sockets)


def _check_wyoming_keys(settings: Settings) -> None:
    """Raise InvalidSettings for a port without keys on a server with keys, unless it is wanted."""
    has_keys = settings.api_keys is not None or settings.api_keys_file is not None
    if settings.wyoming_port is not None and has_keys and settings.wyoming_without_keys == "off":
        raise InvalidSettings(
            f"there are API keys, but the Wyoming protocol has none: whoever reached port {settings.wyoming_port} "
            "could use the server; allowed: --wyoming-without-keys on, or no --wyoming-port"
        )


@contextlib.contextmanager
def _listen_for_wyoming(settings: Settings, *, max_connections: int) -> Iterator[WyomingPort | None]:
    if settings.wyoming_port is None:
        yield None
        return
    with listen(
        settings.host, settings.wyoming_port, send_timeout_s=settings.send_timeout_s, flag="--wyoming-port"
    ) as listener:
        logger.info("listening for Wyoming on tcp://%s", _address(listener))
        yield WyomingPort(listener=listener, max_connections=max_connections)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reload_keys_on_hangup(access: Access | None) -> None:
    """Read the API keys again after the signal SIGHUP, which Windows does not have."""
    if access is None or not hasattr(signal, "SIGHUP"):
        return

    def reload() -> None:
        try:
            logger.info("read the API keys again: %d", access.keys.reload())
        except InvalidSettings as exc:
            logger.error("the API keys stay as they were: %s", exc)

    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=reload).start())


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Return the limits of connections: as set, or as many as the system allows open files for."""
    files_each = FILES_PER_CONNECTION + (settings.wyoming_port is not None)
    most = (raise_file_limit(files_each * settings.max_connections + OTHER_FILES) - OTHER_FILES) // files_each
    if most < settings.max_connections:
        logger.warning(
            "the system allows only %d connections, fewer than %s; raise its limit of open files (ulimit -n)",
            max(most, 1),
            flag_of("max_connections"),
        )
    return ConnectionLimits(
        max_connections=max(min(most, settings.max_connections), 1),
        header_timeout_s=settings.header_timeout_s,
        drain_timeout_s=settings.upload_timeout_s,
    )


def listen(host: str, port: int, *, send_timeout_s: float, flag: str = "--port") -> socket.socket:
    """Return a listening socket. flag: of the port. Raises OSError with a sentence that says what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        reason = exc.strerror or exc
        raise OSError(f"cannot listen on {host} port {port} ({reason}); give another --host or {flag}") from exc
    # Accepted connections inherit this option. asyncio sets it only for sockets made with an explicit protocol
    # number. Without it, the end of each response waits 40 ms for the client to acknowledge the beginning.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # So do they this one: without it, a client that never reads keeps its response in memory for ever (RFC 5482).
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(send_timeout_s * 1000))
    return listener
