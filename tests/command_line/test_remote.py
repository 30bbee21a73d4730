"""What the command line makes of a server that does not answer as it should."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hf_asr_endpoint.command_line.transcribe.backend import BackendFailed
from hf_asr_endpoint.command_line.transcribe.form import Form
from hf_asr_endpoint.command_line.transcribe.inputs import Recording
from hf_asr_endpoint.command_line.transcribe.remote import ServerBackend
from hf_asr_endpoint.errors import AsrError, InvalidParameter
from hf_asr_endpoint.types import Transcription, TranscriptionOptions

AUDIO = b"some audio"
FORM = Form(
    task="transcribe",
    fields=(("timestamp_granularities[]", "segment"), ("timestamp_granularities[]", "word")),
    options=TranscriptionOptions(),
)
SILENCE = {"task": "transcribe", "language": "english", "duration": 2.0, "text": "", "segments": [], "words": []}

Answer = tuple[int, object]


@contextmanager
def serve(*answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """Answer one request after another. Yields the address, and the bodies that have come."""
    waiting, bodies = list(answers), list[bytes]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            status, document = waiting.pop(0)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("retry-after", "0")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """The tests' output is not for it."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()


def transcribe(url: str) -> Transcription:
    async def run() -> Transcription:
        backend = ServerBackend(url, api_key=None, model=None, form=FORM)
        try:
            path = Path("a.mp3")
            recording = Recording(
                path=path, relative=path, n_bytes=len(AUDIO), open=lambda: io.BufferedReader(io.BytesIO(AUDIO))
            )
            return await backend.transcribe(recording, lambda _: None)
        finally:
            await backend.close()

    return asyncio.run(run())


def error(message: str, parameter: str | None = None) -> object:
    return {"error": {"message": message, "type": "x", "param": parameter, "code": None}}


def test_a_server_that_is_busy_or_starts_is_asked_again_with_the_whole_file() -> None:
    with serve((429, error("busy")), (503, error("loading")), (200, SILENCE)) as (url, bodies):
        assert transcribe(url).duration_s == 2.0
    assert len(bodies) == 3
    assert all(AUDIO in body and body.count(b"timestamp_granularities[]") == 2 for body in bodies)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        pytest.param((400, error("too short", "file")), AsrError, "too short", id="file"),
        pytest.param((413, error("too large")), AsrError, "too large", id="no parameter"),
        pytest.param((400, error("no such", "num_beams")), InvalidParameter, "no such", id="parameter"),
        pytest.param((401, error("no key")), BackendFailed, "the server refuses: no key", id="key"),
        pytest.param((502, "bad gateway"), AsrError, "status 502, '\"bad gateway\"'", id="proxy"),
        pytest.param((200, {"text": "only"}), AsrError, "is not verbose_json", id="another answer"),
    ],
)
def test_errors_are_about_this_recording_or_about_all(answer: Answer, kind: type[AsrError], message: str) -> None:
    with serve(answer) as (url, _), pytest.raises(AsrError) as failed:
        transcribe(url)
    assert type(failed.value) is kind
    assert message in str(failed.value)
