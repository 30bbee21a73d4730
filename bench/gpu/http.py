"""The server on the device, asked over HTTP: texts, and speed with several clients. Needs only Python's library.

The server needs its own packages; where they are absent, the phase says so.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.gpu.packed import read_clips
from bench.gpu.running import Check, Log

N_CLIENTS, N_CLIENTS_SMALL = (1, 16, 128), (1, 2)
SECONDS, SECONDS_SMALL = 6.0, 1.0  # for each number of clients
START_LIMIT_S = 60.0
POLL_INTERVAL_S = 0.2
REQUEST_LIMIT_S = 30.0
SAMPLE_RATE = 16_000

_ENGINE_S = re.compile(r'^hf_asr_(engine|preparation)_seconds_total\{.*?(?:stage="(\w+)")?\} (\S+)$', re.MULTILINE)


def run(check: Check, log: Log) -> None:
    clips = {name: wav(samples) for name, samples in read_clips(check.packed).items()}
    lengths_s = {name: len(data) / 2 / SAMPLE_RATE for name, data in clips.items()}
    with log.part("server"), serving(check) as (url, ready_s):
        models = json.loads(get(f"{url}/info"))["models"]
        log.write("ready", seconds=ready_s, model=models[0]["model"], engines=models[0]["engines"])
        texts = {name: post(url, data) for name, data in clips.items()}
        log.write("texts", texts=texts)
        for n_clients in N_CLIENTS_SMALL if check.is_small else N_CLIENTS:
            before = stages_s(url)
            figures = drive(
                url,
                clips,
                texts,
                lengths_s,
                n_clients=n_clients,
                seconds=SECONDS_SMALL if check.is_small else SECONDS,
            )
            after = stages_s(url)
            stages = {stage: seconds - before.get(stage, 0.0) for stage, seconds in after.items()}
            log.write(f"{n_clients} clients", **figures, stages_s=stages)


def drive(
    url: str,
    clips: Mapping[str, bytes],
    texts: Mapping[str, str],
    lengths_s: Mapping[str, float],
    *,
    n_clients: int,
    seconds: float,
) -> dict[str, Any]:
    """Post clips in turn, each client one at a time. texts: that each clip has when it is alone."""
    names = itertools.cycle(clips)
    latencies_s: list[float] = []
    done: list[str] = []
    different: list[str] = []
    errors: list[str] = []
    began = time.perf_counter()

    def client(_: int) -> None:
        while time.perf_counter() < began + seconds and not errors:
            name, asked = next(names), time.perf_counter()
            try:
                text = post(url, clips[name])
            except OSError as exc:
                errors.append(str(exc))
                return
            latencies_s.append(time.perf_counter() - asked)
            done.append(name)
            if text != texts[name]:
                different.append(name)

    with ThreadPoolExecutor(n_clients) as clients:
        list(clients.map(client, range(n_clients)))
    elapsed_s = time.perf_counter() - began
    return {
        "audio_s_per_s": sum(lengths_s[name] for name in done) / elapsed_s,
        "n_requests": len(done),
        "median_s": statistics.median(latencies_s) if latencies_s else None,
        "longest_s": max(latencies_s, default=None),
        "other_texts_than_alone": sorted(set(different)),
        "errors": errors[:1],
    }


@contextmanager
def serving(check: Check) -> Iterator[tuple[str, float]]:
    """Run a server with the packed model. Returns its address and the seconds until it was ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "hf_asr_endpoint", "serve", "--port", str(port)]
        command += ["--model", str(check.directory), "--devices", check.device, "--log-level", "warning"]
        command += ["--data-dir", directory, "--max-concurrent-requests", str(2 * max(N_CLIENTS))]
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            url = f"http://127.0.0.1:{port}"
            yield url, wait_until_ready(process, url, log, limit_s=START_LIMIT_S * (4 if check.is_small else 1))
        finally:
            process.terminate()
            process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path, *, limit_s: float) -> float:
    """Return the seconds that it took. Raises RuntimeError with the last line of the log."""
    began = time.perf_counter()
    while time.perf_counter() < began + limit_s and process.poll() is None:
        with contextlib.suppress(OSError):
            get(f"{url}/health")
            return time.perf_counter() - began
        time.sleep(POLL_INTERVAL_S)  # Nothing tells when the server is there.
    raise RuntimeError((log.read_text().strip().splitlines() or ["the server says nothing"])[-1])


def stages_s(url: str) -> dict[str, float]:
    """Return the seconds of the engine's stages, and those of preparing audio, since the start."""
    found = _ENGINE_S.findall(get(f"{url}/metrics"))
    return {stage or kind: float(seconds) for kind, stage, seconds in found}


def post(url: str, audio: bytes) -> str:
    """Return the text of a recording, sent as raw bytes. Raises OSError."""
    request = urllib.request.Request(f"{url}/?num_beams=1", data=audio, headers={"Content-Type": "audio/wav"})
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_LIMIT_S) as response:
            text: str = json.load(response)["text"]
            return text
    except urllib.error.HTTPError as exc:
        raise OSError(f"status {exc.code}: {exc.read(1000).decode(errors='replace')}") from exc


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=REQUEST_LIMIT_S) as response:
        body: bytes = response.read()
        return body.decode()


def wav(samples: npt.NDArray[np.float32]) -> bytes:
    """Return a waveform as a file of 16-bit samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes((samples.clip(-1, 1) * 32_767).astype("<i2").tobytes())
    return file.getvalue()
