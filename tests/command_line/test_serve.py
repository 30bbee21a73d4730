"""The command line as a process: its output, its exit codes and its shutdown."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from hf_asr_endpoint import __version__
from hf_asr_endpoint.command_line.serve import listen
from hf_asr_endpoint.config import Settings, flag_of, variable_of
from hf_asr_endpoint.jobs.data_directory import open_data_directory
from tests.server import POLL_INTERVAL_S, Server, run_server

TIMEOUT_S = 60


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hf_asr_endpoint", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env={**os.environ, **env}, check=False
    )


def assert_fails_with(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit code 2, and the last line is one sentence with these parts."""
    assert result.returncode == 2, result.stderr
    sentence = result.stderr.splitlines()[-1]
    assert sentence.startswith("hf-asr")
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in sentence


def test_version() -> None:
    assert run("--version").stdout.strip() == f"hf-asr {__version__}"


def test_help_shows_every_flag_and_variable() -> None:
    text = run("serve", "--help").stdout
    for name in Settings.model_fields:
        assert flag_of(name) in text
        assert (f"[{variable_of(name)}]" in text) is (flag_of(name) != "")
    assert "--webhook-secret" not in text
    assert "--api-keys " not in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        pytest.param([], ["required: command"], id="no command"),
        pytest.param(["serve", "--nonsense"], ["--nonsense"], id="unknown flag"),
        pytest.param(["serve", "--port", "x"], ["--port", "HF_ASR_PORT", "'x'"], id="bad value"),
        pytest.param(["serve", "--model", "embedded:x"], ["'embedded:x'", "embedded:whisper-base"], id="embedded"),
        pytest.param(["serve", "--model", "./missing"], ["'./missing'", "give a directory"], id="directory"),
    ],
)
def test_a_users_mistake_gives_one_sentence_and_exit_code_2(arguments: list[str], parts: list[str]) -> None:
    assert_fails_with(run(*arguments, HF_ASR_PORT="0"), *parts)


def test_a_misspelt_variable_is_refused_with_a_suggestion() -> None:
    result = run("serve", "--port", "0", HF_ASR_MAX_AUDIO_SECONDS="5")
    assert_fails_with(result, "HF_ASR_MAX_AUDIO_SECONDS is not a setting", "use HF_ASR_MAX_AUDIO_S")


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("serve", "--port", "0", "--cache-dir", str(tmp_path / "file" / "cache"))
    assert_fails_with(result, "cannot be written", "--cache-dir")


def test_an_unreachable_hub_is_reported(tmp_path: Path) -> None:
    env = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    result = run("serve", "--port", "0", "--model", "some/whisper", **env)
    assert_fails_with(result, "'some/whisper'", "cannot be reached", "check the connection")


def test_a_model_that_does_not_recognise_speech_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    result = run("serve", "--port", "0", "--model", str(tmp_path))
    assert_fails_with(result, "'bert'", "allowed: models that recognise speech")


def test_a_bad_secret_is_refused_without_showing_it() -> None:
    result = run("serve", "--port", "0", HF_ASR_WEBHOOK_SECRET="do-not-show")
    assert_fails_with(result, "HF_ASR_WEBHOOK_SECRET cannot be used", "base64 of 24 to 64 bytes")
    assert "do-not-show" not in result.stderr


def test_invalid_allowed_hosts_are_refused() -> None:
    result = run("serve", "--port", "0", "--webhook-allowed-hosts", "a b")
    assert_fails_with(result, "'a b'", "allowed: for example")


def test_a_data_directory_of_another_server_is_refused(tmp_path: Path) -> None:
    directory = open_data_directory(tmp_path)
    result = run("serve", "--port", "0", "--data-dir", str(tmp_path))
    assert_fails_with(result, f"in use by another server, process {os.getpid()}", "--data-dir")
    directory.close()


def test_a_server_whose_default_data_directory_is_unusable_starts_without_jobs(
    cache_dir: Path, tmp_path: Path
) -> None:
    """A second server on a machine, or one in a container without a home directory, must serve all the rest."""
    (tmp_path / "file").touch()
    env = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "file"), "HF_ASR_CACHE_DIR": str(cache_dir)}
    with run_server(env=env, wait_ready=False, data_dir=None) as server:
        assert requests.get(f"{server.url}/info", timeout=TIMEOUT_S).json()["job_limits"] is None
        answer = requests.get(f"{server.url}/v1/requests/R1", timeout=TIMEOUT_S)
        assert answer.status_code == 503
        assert answer.json()["error"] == "this server does not accept jobs; its log says why"
        assert "--data-dir" in server.log.read_text()


def test_a_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_fails_with(run("serve", "--port", port), f"port {port}", "--port")


def test_a_wyoming_port_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_fails_with(run("serve", "--port", "0", "--wyoming-port", port), f"port {port}", "--wyoming-port")


def test_a_wyoming_port_beside_keys_must_be_wanted() -> None:
    """The protocol has no keys: the port would open what they close."""
    result = run("serve", "--port", "0", "--wyoming-port", "10300", HF_ASR_API_KEYS="KEY")
    assert_fails_with(result, "whoever reached port 10300", "--wyoming-without-keys on")


def test_responses_do_not_wait_for_acknowledgements() -> None:
    """Each response took 40 ms longer: its end was held back until the client acknowledged its beginning."""
    with listen("127.0.0.1", 0, send_timeout_s=60.0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_while_loading_stops_the_server_without_a_traceback(
    cache_dir: Path, stop: signal.Signals
) -> None:
    with run_server("--cache-dir", str(cache_dir), wait_ready=False) as server:
        health = requests.get(f"{server.url}/health", timeout=TIMEOUT_S)
        assert health.status_code == 503
        assert health.json()["status"] == "loading"
        server.process.send_signal(stop)
        assert server.process.wait(TIMEOUT_S) in (0, -stop)
        assert "Traceback" not in server.log.read_text()


def test_a_request_in_flight_is_finished_after_a_signal(cache_dir: Path, jfk: bytes) -> None:
    with run_server("--cache-dir", str(cache_dir), "--model", "embedded:whisper-tiny.en") as server:
        with begin_request(server, jfk) as connection:
            server.process.send_signal(signal.SIGTERM)
            assert b"ask not what your country can do" in read_to_the_end(connection)
        assert server.process.wait(TIMEOUT_S) == -signal.SIGTERM


def test_those_who_watch_a_job_do_not_keep_the_server(cache_dir: Path, jfk: bytes) -> None:
    """Their streams end only with the job: the server waited for them as long as it may."""
    with run_server("--cache-dir", str(cache_dir), wait_ready=False) as server:
        job = requests.post(f"{server.url}/v1/jobs", files={"file": jfk}, timeout=TIMEOUT_S).json()
        events = f"{server.url}/v1/requests/{job['request_id']}/events"
        with requests.get(events, stream=True, timeout=TIMEOUT_S) as answer:
            lines = answer.iter_lines()
            assert next(lines) == b"event: job.progress"
            server.process.send_signal(signal.SIGTERM)
            *_, name, data, _ = lines
            assert (name, json.loads(data[6:])["error"]) == (b"event: error", "the server is shutting down")
        server.process.wait(TIMEOUT_S)


def test_a_request_that_outlasts_the_shutdown_is_503(cache_dir: Path, long_recording: bytes) -> None:
    """No time is left: how long its 400 tokens per window take depends on the machine."""
    flags = ("--cache-dir", str(cache_dir), "--model", "embedded:whisper-tiny.en", "--shutdown-timeout-s", "0")
    with run_server(*flags) as server:
        with begin_request(server, long_recording, "?min_new_tokens=400") as connection:
            server.process.send_signal(signal.SIGTERM)
            answer = read_to_the_end(connection)
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"x-request-id" in answer
            assert b"the server is shutting down" in answer
        assert server.process.wait(TIMEOUT_S) == -signal.SIGTERM
        assert "Traceback" not in server.log.read_text()


def begin_request(server: Server, body: bytes, query: str = "") -> socket.socket:
    """Send a request, and return once the server has begun to work on it: it has asked for the body."""
    address = urlsplit(server.url)
    connection = socket.create_connection((address.hostname, address.port), TIMEOUT_S)
    head = f"POST /{query} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode())
    assert connection.recv(65_536).startswith(b"HTTP/1.1 100")
    connection.sendall(body)
    return connection


def read_to_the_end(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while part := connection.recv(65_536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


def test_a_request_during_loading_waits_for_the_model(cache_dir: Path, jfk: bytes) -> None:
    """A 503 at once would make the JavaScript client try again immediately and for ever."""
    flags = ("--cache-dir", str(cache_dir), "--model", "embedded:whisper-tiny.en")
    with run_server(*flags, wait_ready=False) as server:
        assert requests.get(f"{server.url}/health", timeout=TIMEOUT_S).status_code == 503
        answer = requests.post(server.url, data=jfk, timeout=TIMEOUT_S)
        assert "ask not what your country can do" in answer.json()["text"]
        assert requests.get(f"{server.url}/health", timeout=TIMEOUT_S).status_code == 200


def test_keys_are_read_again_after_a_hangup(cache_dir: Path, tmp_path: Path) -> None:
    old, new, file = "old-0123456789", "new-0123456789", tmp_path / "keys"
    env = {**os.environ, "HF_ASR_CACHE_DIR": str(cache_dir), "HF_ASR_API_KEYS_FILE": str(file)}

    def status_with(key: str) -> int:
        url, headers = f"{server.url}/info", {"Authorization": f"Bearer {key}"}
        return requests.get(url, headers=headers, timeout=TIMEOUT_S).status_code

    def hang_up_with(text: str, *, until: str) -> None:
        file.write_text(text)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + TIMEOUT_S
        while until not in server.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(POLL_INTERVAL_S)  # Only its log tells that another process has read the keys.

    file.write_text(old)
    with run_server(env=env, wait_ready=False) as server:
        assert (status_with(old), status_with(new)) == (200, 401)
        hang_up_with(f"anna:{new}", until="read the API keys again: 1")
        assert (status_with(old), status_with(new)) == (401, 200)
        hang_up_with("short", until="the API keys stay as they were")
        assert status_with(new) == 200


def test_a_key_that_cannot_be_used_ends_the_start_without_being_shown() -> None:
    result = run("serve", "--port", "0", HF_ASR_API_KEYS="sesame")
    assert_fails_with(result, "the API key in HF_ASR_API_KEYS at position 1 cannot be used")
    assert "sesame" not in result.stderr
    result = run("serve", "--port", "0", "--api-keys", "anna:sesame-open")
    assert "cannot be read" not in result.stderr, "--api-keys is not short for --api-keys-file"


def test_settings_are_read_from_variables(cache_dir: Path) -> None:
    env = {
        **os.environ,
        "HF_ASR_CACHE_DIR": str(cache_dir),
        "HF_ASR_SERVED_MODEL_NAMES": "whisper-1,tiny",
        "HF_MODEL_ID": "embedded:whisper-tiny.en",
    }
    with run_server(env=env, wait_ready=False) as server:
        names = requests.get(f"{server.url}/info", timeout=TIMEOUT_S).json()["model_names"]
    assert names == [
        "openai/whisper-tiny.en",
        "whisper-tiny.en",
        "embedded:whisper-tiny.en",
        "whisper-1",
        "tiny",
    ]


def test_the_path_of_a_model_directory_is_not_shown(tiny_en_directory: Path, cache_dir: Path, jfk: bytes) -> None:
    """Clients saw where the server keeps its files: in lists of models, in /info and in 404 messages."""
    directory = str(tiny_en_directory.parent)
    with run_server("--model", str(tiny_en_directory), "--cache-dir", str(cache_dir), wait_ready=False) as server:
        shown = []
        while not (health := requests.get(f"{server.url}/health", timeout=TIMEOUT_S)).ok:
            shown.append(health)
            time.sleep(POLL_INTERVAL_S)
        shown += [
            requests.get(f"{server.url}/info", timeout=TIMEOUT_S),
            requests.get(f"{server.url}/v1/models", timeout=TIMEOUT_S),
            requests.get(f"{server.url}/v1/models/other", timeout=TIMEOUT_S),
            requests.post(f"{server.url}/models/other", data=jfk, timeout=TIMEOUT_S),
            requests.post(f"{server.url}/models/{tiny_en_directory.name}", data=jfk, timeout=TIMEOUT_S),
        ]
    assert "ask not" in shown[-1].json()["text"]
    assert shown[-4].json()["data"][0]["id"] == tiny_en_directory.name
    assert not [answer.text for answer in shown if directory in answer.text]
