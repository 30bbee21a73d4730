"""A socket on the server's own protocol, whose times are those of HTTP."""

from __future__ import annotations

import json
import time

from websockets.sync.client import connect

from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.connections import ConnectionLimits, limited_protocol
from tests.api.conftest import DEADLINE_S, make_services, serve_app
from tests.fakes import FakeTranscriber

HEADER_TIMEOUT_S = 0.2


def test_a_socket_outlives_the_time_for_headers() -> None:
    limits = ConnectionLimits(max_connections=4, header_timeout_s=HEADER_TIMEOUT_S, drain_timeout_s=1.0)
    app = create_app(make_services(FakeTranscriber()))
    with (
        serve_app(app, http=limited_protocol(limits)) as url,
        connect(f"{url.replace('http', 'ws')}/v1/realtime") as socket,
    ):
        assert json.loads(socket.recv(timeout=DEADLINE_S))["type"] == "session.created"
        time.sleep(3 * HEADER_TIMEOUT_S)  # Nothing happens that could be waited for, which is the point.
        socket.send(json.dumps({"type": "input_audio_buffer.clear"}))
        assert json.loads(socket.recv(timeout=DEADLINE_S))["type"] == "input_audio_buffer.cleared"
