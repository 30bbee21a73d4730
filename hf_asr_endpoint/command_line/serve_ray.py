"""`hf-asr serve --ray`: deploys the application on Ray, and removes it when a signal arrives."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from ipaddress import ip_address
from typing import NoReturn

from hf_asr_endpoint.command_line.exit_codes import EXIT_OK
from hf_asr_endpoint.config import Settings, flag_of
from hf_asr_endpoint.errors import AsrError, InvalidSettings
from hf_asr_endpoint.ray_cluster import LOCAL, connected

logger = logging.getLogger(__name__)


class NotDeployed(AsrError):
    """Ray Serve could not deploy the application; the log of its replicas says why."""


def serve_on_ray(settings: Settings, address: str) -> int:
    """Deploy, serve until a signal arrives, and remove the application. Returns the exit code.

    address: of the cluster; LOCAL starts Ray. Raises InvalidSettings, ModelUnavailable, ClusterUnreachable and
    NotDeployed.
    """
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    from hf_asr_endpoint.ray_serve.application import build_application
    from hf_asr_endpoint.ray_serve.names import APPLICATION

    with connected(address):
        signal.signal(signal.SIGTERM, _interrupt)
        application = build_application(settings)
        try:
            host, port = _start(settings)
            try:
                serve.run(application, name=APPLICATION)
                logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
                threading.Event().wait()
            finally:
                # A cluster's other applications stay.
                serve.shutdown() if address == LOCAL else serve.delete(APPLICATION)
        except KeyboardInterrupt:
            logger.info("the server is being removed from Ray")
        except (RuntimeError, RayError, RayServeException) as exc:
            # The cause: the text of an error from another process is its traceback.
            raise NotDeployed(f"Ray Serve could not deploy the server: {getattr(exc, 'cause', exc)}") from exc
    return EXIT_OK


def _start(settings: Settings) -> tuple[str, int]:
    """Start Serve, unless the cluster has it already, and return the host and the port of its proxies.

    Raises InvalidSettings where they are not those that were given.
    """
    from ray import serve
    from ray.serve.context import _get_global_client

    serve.start(http_options={"host": settings.host, "port": settings.port or _free_port(settings.host)})
    # No public function tells it. A Serve that has run before keeps its own.
    running = _get_global_client().http_config
    for name, wanted, found in (
        ("host", settings.host, running.host),
        ("port", settings.port, running.port),
    ):
        if name in settings.model_fields_set and wanted and wanted != found:
            raise InvalidSettings(
                f"{flag_of(name)} is {wanted}, but Ray Serve runs on this cluster already and listens on "
                f"{running.host}, port {running.port}; allowed: that, or `serve shutdown` before"
            )
    if running.host is None:
        raise InvalidSettings("Ray Serve runs on this cluster without HTTP; allowed: `serve shutdown` before")
    has_keys = settings.api_keys is not None or settings.api_keys_file is not None
    if not has_keys and not _is_loopback(running.host):
        logger.warning("no API keys are set: whoever reaches %s may use the server", running.host)
    return running.host, running.port


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _interrupt(*_: object) -> NoReturn:
    """End on SIGTERM as Python ends on SIGINT."""
    raise KeyboardInterrupt


def _free_port(host: str) -> int:
    """Return a port that was free just now: Serve's proxies do not pick one."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        return int(listener.getsockname()[1])
