"""Live sessions in real time: when words come and how right they are. Run by `make bench-live`.

Each session speaks clips of LibriSpeech test-other, with a second of silence behind each, or more with --share. A
word's latency is from its end, in the alignment of the whole clip, to the delta that has it. --silent and --beside
measure something else instead.
"""

from __future__ import annotations

import argparse
import asyncio
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import requests
import soundfile
from rich.console import Console
from rich.table import Table

from bench.engines.server import environment
from bench.live.beside import measure_beside
from bench.live.evaluation import COLUMNS, Said, row
from bench.live.silence import measure_silence
from bench.live.streaming import RATE, Told, stream
from bench.live.whisperlivekit import POLICIES, run_peer, stream_to_peer
from bench.recordings import Clip, short_clips
from tests.server import run_server

PAUSE_S = 1.0
NONSPEECH = "nonspeech"
MAX_NONSPEECH_S = 60.0
REQUEST_TIMEOUT_S = 600.0
WIDTH = 150  # characters
ALLOWS_MANY = environment(max_live_sessions=256)

Spoken = tuple[list[Said], list[npt.NDArray[np.float32]]]
"""What each session says, and its samples."""

DETECTIONS: dict[str, dict[str, Any] | None] = {
    "server_vad": {"type": "server_vad", "silence_duration_ms": 500},
    "semantic_vad": {"type": "semantic_vad"},
    "null": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", default="embedded:whisper-base", help="as for hf-asr serve")
    parser.add_argument("--sessions", default="1,4,8", help="numbers of sessions at a time")
    parser.add_argument("--seconds", type=float, default=60.0, help="of speech in each session, at least")
    parser.add_argument("--share", type=float, default=1.0, help="of its time that each session speaks, at most")
    parser.add_argument("--whisperlivekit", type=Path, help="Python of an environment that has it, to be compared")
    parser.add_argument("--silent", type=int, help="what this many sessions cost in which nobody speaks")
    parser.add_argument("--beside", type=int, help="how long a clip takes beside this many sessions")
    parser.add_argument("--detection", choices=sorted(DETECTIONS), default="server_vad")
    parser.add_argument("--url", help="of a running server, instead of a new one")
    arguments = parser.parse_args()
    if arguments.url:
        if arguments.silent:
            parser.error("--silent needs a server of its own, without --url: it reads what the process takes")
        _measure(arguments.url, arguments)
        return
    spoken: list[Spoken] = []
    with run_server("--model", arguments.model, env=ALLOWS_MANY) as server:
        if arguments.silent:
            Console(width=WIDTH).print(measure_silence(server, arguments.silent))
        else:
            spoken = _measure(server.url, arguments)
    if arguments.whisperlivekit:
        for policy in POLICIES:
            with run_peer(arguments.whisperlivekit, arguments.model, policy=policy) as url:
                Console(width=WIDTH).print(_measure_peer(url, spoken, title=f"WhisperLiveKit, {policy}"))


def _measure(url: str, arguments: argparse.Namespace) -> list[Spoken]:
    """Print the results; return what was said, of each number of sessions."""
    clips = short_clips(arguments.speech)
    if arguments.beside:
        chosen = [_choose(clips, first=7 * index, seconds=arguments.seconds) for index in range(arguments.beside)]
        print(measure_beside(url, [_waveform(of_session, share=1.0) for of_session in chosen]))
        return []
    spoken: list[Spoken] = []
    table = Table(*COLUMNS, title=f"{arguments.model}, {arguments.detection}")
    detection = DETECTIONS[arguments.detection]
    for n_sessions in map(int, arguments.sessions.split(",")):
        chosen = [_choose(clips, first=7 * index, seconds=arguments.seconds) for index in range(n_sessions)]
        said = [_said(url, of_session, share=arguments.share) for of_session in chosen]
        waveforms = [_waveform(of_session, share=arguments.share) for of_session in chosen]
        spoken.append((said, waveforms))
        told = asyncio.run(_speak(url, waveforms, detection))
        turns = [_turns_as_files(url, *one) for one in zip(waveforms, told, strict=True)]
        table.add_row(*row(n_sessions, said, told, turns))
    console = Console(width=WIDTH)
    console.print(table)
    console.print(_nonspeech(url, arguments.speech, detection))
    return spoken


def _measure_peer(url: str, spoken: Sequence[Spoken], *, title: str) -> Table:
    async def speak(waveforms: Sequence[npt.NDArray[np.float32]]) -> list[Told]:
        return await asyncio.gather(*(stream_to_peer(url, waveform) for waveform in waveforms))

    table = Table(*COLUMNS, title=title)
    for said, waveforms in spoken:
        table.add_row(*row(len(said), said, asyncio.run(speak(waveforms))))
    return table


async def _speak(
    url: str, waveforms: Sequence[npt.NDArray[np.float32]], detection: dict[str, Any] | None
) -> list[Told]:
    return await asyncio.gather(*(stream(url, waveform, detection=detection) for waveform in waveforms))


def _choose(clips: Sequence[Clip], *, first: int, seconds: float) -> list[Clip]:
    chosen: list[Clip] = []
    length_s = 0.0
    while length_s < seconds:
        chosen.append(clips[(first + len(chosen)) % len(clips)])
        length_s += len(_load(chosen[-1].path)) / RATE
    return chosen


def _said(url: str, clips: Sequence[Clip], *, share: float) -> Said:
    texts, words, begin_s = [], [], 0.0
    for clip in clips:
        offline = _offline(url, clip.path)
        texts.append(offline["text"])
        words += [(word["word"], begin_s + word["end"]) for word in offline["words"]]
        begin_s += (len(_load(clip.path)) + _n_pause(clip, share)) / RATE
    return Said(" ".join(clip.reference for clip in clips), " ".join(texts), words)


@cache
def _offline(url: str, path: Path) -> dict[str, Any]:
    fields = {
        "language": "en",
        "response_format": "verbose_json",
        "timestamp_granularities[]": "word",
        "model": "whisper-1",
    }
    return _post(url, fields, path.read_bytes())


def _turns_as_files(url: str, waveform: npt.NDArray[np.float32], told: Told) -> str:
    """Return the joined texts of a session's turns, each sent as a file of its own."""
    texts = []
    for start_s, end_s in zip(told.starts_s, told.ends_s, strict=False):  # The last may have been committed.
        file = io.BytesIO()
        soundfile.write(file, waveform[round(start_s * RATE) : round(end_s * RATE)], RATE, format="WAV")
        fields = {"language": "en", "model": "whisper-1"}
        texts.append(_post(url, fields, file.getvalue())["text"])
    return " ".join(texts)


def _post(url: str, fields: dict[str, str], audio: bytes) -> dict[str, Any]:
    answer = requests.post(
        f"{url}/v1/audio/transcriptions", data=fields, files={"file": audio}, timeout=REQUEST_TIMEOUT_S
    )
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    return document


def _waveform(clips: Sequence[Clip], *, share: float) -> npt.NDArray[np.float32]:
    pauses = (np.zeros(_n_pause(clip, share), np.float32) for clip in clips)
    return np.concatenate(
        [part for clip, pause in zip(clips, pauses, strict=True) for part in (_load(clip.path), pause)]
    )


def _n_pause(clip: Clip, share: float) -> int:
    """Return the samples of silence behind a clip, so that it is at most `share` of both."""
    return max(round(PAUSE_S * RATE), round(len(_load(clip.path)) * (1 / share - 1)))


@cache
def _load(path: Path) -> npt.NDArray[np.float32]:
    waveform, _ = librosa.load(path, sr=RATE, duration=None)
    return np.asarray(waveform, np.float32)


def _nonspeech(url: str, speech: Path, detection: dict[str, Any] | None) -> str:
    """Let all recordings without speech play at once; return how many words came."""
    paths = sorted(path for path in (speech / NONSPEECH).glob("*") if path.suffix != ".json")
    waveforms = [_load(path)[: round(MAX_NONSPEECH_S * RATE)] for path in paths]
    told = asyncio.run(_speak(url, waveforms, detection))
    n_words = {
        path.name: sum(len(text.split()) for text in one.finals) for path, one in zip(paths, told, strict=True)
    }
    minutes = sum(map(len, waveforms)) / RATE / 60
    loud = ", ".join(f"{name}: {n}" for name, n in n_words.items() if n)
    return f"no speech: {sum(n_words.values())} words in {minutes:.1f} minutes ({loud or 'none anywhere'})"


if __name__ == "__main__":
    main()
