from __future__ import annotations

from pathlib import Path

from bench.clients import Clips, Send, drive, http_client
from tests.conftest import DATA
from tests.server import Server

CLIPS = Clips(paths=[Path("a"), Path("b"), Path("c")], seconds=[1.0, 2.0, 3.0])


def test_each_client_sends_one_clip_after_another() -> None:
    sent: list[list[Path]] = []

    def connect() -> Send:
        paths: list[Path] = []
        sent.append(paths)

        def send(path: Path) -> float:
            paths.append(path)
            return 0.0

        return send

    result = drive(connect, CLIPS, n_clients=2, seconds=0.05)
    assert (result.n_errors, len(sent)) == (0, 2)
    assert sorted(len(paths) for paths in sent) == [result.min_requests, result.max_requests]
    assert {paths[0] for paths in sent} == {Path("a"), Path("b")}
    for paths in sent:
        begin = CLIPS.paths.index(paths[0])
        assert paths == [CLIPS.paths[(begin + i) % 3] for i in range(len(paths))]


def test_an_exception_counts_as_the_error_of_a_request() -> None:
    def connect() -> Send:
        def send(path: Path) -> float:
            raise RuntimeError("HTTP 500: broken")

        return send

    result = drive(connect, CLIPS, n_clients=1, seconds=0.01)
    assert (result.n_errors, result.first_error) == (1, "HTTP 500: broken")


def test_the_time_to_first_byte_of_a_request_is_measured(server: Server) -> None:
    assert (http_client(server.url)(DATA / "jfk.mp3") or 0.0) > 0.0
