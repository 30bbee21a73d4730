"""How fast audio is prepared for a GPU, and how much of that holds the lock of the engine's Python.

Each way prepares the same recordings, all at the same time: in threads of this process, and in processes beside
it. The lock is sampled by py-spy. Chunks keep their waveforms, as a GPU wants them.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from queue import Queue

import soundfile

from bench.machine import describe_processor
from bench.recordings import long_clip
from hf_asr_endpoint.audio.chunking import ChunkingOptions
from hf_asr_endpoint.audio.source import EncodedAudio, open_waveform
from hf_asr_endpoint.cancellation import CancellationToken
from hf_asr_endpoint.preparation_processes.preparations import PreparationProcesses
from hf_asr_endpoint.processes.program import start_program
from hf_asr_endpoint.transcription.preparation import (
    PreparationEnd,
    PreparationOrder,
    Preparations,
    PreparedChunk,
)
from hf_asr_endpoint.transcription.preparation_workers import PreparationWorkers
from hf_asr_endpoint.transcription.spectrogram import SpectrogramMaker
from hf_asr_endpoint.units import N_SAMPLES
from hf_asr_endpoint.whisper.threads import N_CORES

MAKER = SpectrogramMaker(n_mels=128, encoder_padding_s=4.0, is_left_to_model=True)
FORMATS = ("WAV", "MP3")
RECORDING_S = 120
MAX_CHUNKS = 1_000  # ahead: more than a recording has
PIPE_S = 5.0
SAMPLES_PER_S = 200  # of the lock
SPY_STARTS_S, SPY_ENDS_S = 1.0, 30.0
MEGA = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """speed: × real time. lock: part of the time in which it is held, and cpu: cores of this process, 0 to 1."""

    speed: float
    lock: float
    cpu: float


@dataclass(slots=True)
class Sample:
    """What a block of code took. lock, cpu: see Figures."""

    elapsed_s: float = 0.0
    lock: float = 0.0
    cpu: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--recordings", type=int, default=16, help="of two minutes, all at the same time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", default="1,2", help="numbers of processes, beside threads")
    given = parser.parse_args()
    print(f"{describe_processor()}, {N_CORES} cores")
    measure_pipe()
    recordings = {kind: encode(long_clip(given.speech).path, kind) for kind in FORMATS}
    ways: dict[str, Preparations] = {
        f"{n} threads": PreparationWorkers(MAKER, is_engine_busy=None, n_workers=n) for n in (1, N_CORES)
    }
    for n in map(int, given.processes.split(",")):
        ways[f"{n} processes"] = PreparationProcesses(n).begin(MAKER, is_engine_busy=None)
    measured: dict[tuple[str, str], list[Figures]] = {(kind, way): [] for kind in FORMATS for way in ways}
    for _ in range(given.rounds):
        for (kind, way), rounds in measured.items():
            rounds.append(measure(ways[way], [recordings[kind]] * given.recordings))
    for preparations in ways.values():
        preparations.close()
    for (kind, way), rounds in measured.items():
        speed, lock, cpu = (statistics.median(values) for values in zip(*map(astuple, rounds), strict=True))
        limit = f", at most {speed / lock:.0f} ×" if lock else ""
        print(
            f"{kind:4} {way:12}{speed:6.0f} × real time, lock {lock:.1%}{limit}, {cpu:.2f} cores of this process"
        )


def encode(path: Path, kind: str) -> bytes:
    """Return the first minutes of a recording in a format of libsndfile."""
    samples, sample_rate = soundfile.read(path, frames=RECORDING_S * soundfile.info(path).samplerate)
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format=kind)
    return file.getvalue()


def measure(preparations: Preparations, recordings: Sequence[bytes]) -> Figures:
    """Prepare recordings, all at the same time."""
    ends: Queue[PreparationEnd] = Queue()

    def deliver(event: PreparedChunk | PreparationEnd) -> None:
        if isinstance(event, PreparationEnd):
            ends.put(event)

    with sampled() as sample:
        for audio in recordings:
            preparations.submit(
                PreparationOrder(
                    reader=open_waveform(EncodedAudio(file=io.BytesIO(audio)), max_audio_s=2 * RECORDING_S),
                    chunking=ChunkingOptions(),
                    max_ahead=MAX_CHUNKS,
                    token=CancellationToken(),
                    deliver=deliver,
                )
            )
        audio_s = sum(finished(ends.get()) for _ in recordings)
    return Figures(speed=audio_s / sample.elapsed_s, lock=sample.lock, cpu=sample.cpu)


def finished(end: PreparationEnd) -> float:
    if end.error is not None:
        raise end.error
    return end.duration_s


def measure_pipe() -> None:
    """Receive arrays from another process and print how fast they come."""
    pipe, sender = start_program("bench.pipe_sender", variables={})
    pipe.recv()
    n_bytes = 0
    with sampled() as sample:
        ends_at = time.perf_counter() + PIPE_S
        while time.perf_counter() < ends_at:
            n_bytes += pipe.recv().nbytes
    sender.kill()
    sender.join()
    speed = n_bytes / sample.elapsed_s / MEGA
    print(f"pipe: {speed:.0f} MB/s in arrays of {4 * N_SAMPLES / MEGA:.2f} MB, lock {sample.lock:.1%}")


@contextmanager
def sampled() -> Iterator[Sample]:
    """Sample what the block takes of this process: its lock, and its cores. Raises RuntimeError without py-spy."""
    sample = Sample()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "samples"
        options = ("--gil", "--nonblocking", "--rate", str(SAMPLES_PER_S), "--format", "raw")
        command = ["py-spy", "record", *options, "--output", str(file), "--pid", str(os.getpid())]
        spy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(SPY_STARTS_S)
            began, cpu_began = time.perf_counter(), time.process_time()
            yield sample
            sample.elapsed_s = time.perf_counter() - began
            sample.cpu = (time.process_time() - cpu_began) / sample.elapsed_s
            spy.send_signal(signal.SIGINT)
            spy.wait(SPY_ENDS_S)
        finally:
            spy.kill()
        if not file.exists():
            raise RuntimeError("py-spy has sampled nothing; it needs the right to trace this process")
        n_held = sum(int(line.rpartition(" ")[2]) for line in file.read_text().splitlines())
        sample.lock = n_held / SAMPLES_PER_S / sample.elapsed_s


if __name__ == "__main__":
    main()
