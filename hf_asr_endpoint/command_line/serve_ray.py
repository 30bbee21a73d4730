"""`hf-asr serve --ray`: deploys the application on Ray, and removes it when a signal arrives."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from typing import NoReturn

from hf_asr_endpoint.command_line.exit_codes import EXIT_OK
from hf_asr_endpoint.config import Settings
from hf_asr_endpoint.errors import AsrError
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

    from hf_asr_endpoint.ray_serve.application import build_application
    from hf_asr_endpoint.ray_serve.names import APPLICATION

    with connected(address):
        signal.signal(signal.SIGTERM, _interrupt)
        application = build_application(settings)
        host, port = settings.host, settings.port or _free_port(settings.host)
        try:
            serve.start(http_options={"host": host, "port": port})
            serve.run(application, name=APPLICATION)
            logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
            threading.Event().wait()
        except KeyboardInterrupt:
            logger.info("the server is being removed from Ray")
        except RuntimeError as exc:
            raise NotDeployed(f"Ray Serve could not deploy the server: {exc}") from exc
        finally:
            # A cluster's other applications stay.
            serve.shutdown() if address == LOCAL else serve.delete(APPLICATION)
    return EXIT_OK


def _interrupt(*_: object) -> NoReturn:
    """End on SIGTERM as Python ends on SIGINT."""
    raise KeyboardInterrupt


def _free_port(host: str) -> int:
    """Return a port that was free just now: Serve's proxies do not pick one."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        return int(listener.getsockname()[1])
