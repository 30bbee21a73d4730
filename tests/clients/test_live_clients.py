"""Client programs in live sessions: nothing but the address is changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr

from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.clients.running import run_client
from tests.clients.table import LIVE_CLIENTS
from tests.conftest import DATA, needs_live_sessions
from tests.server import Server

pytestmark = [pytest.mark.clients, needs_live_sessions]

OPENAI_AGENTS, DEEPGRAM, LIVEKIT, PIPECAT, AI = LIVE_CLIENTS
SPOKEN = "ask not what your country can do for you"


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def test_openai_agents_listen_to_a_stream(server: Server) -> None:
    outcomes = run_client(OPENAI_AGENTS, server.url, str(DATA / "jfk.mp3"))
    for call in ("default", "server_vad"):
        assert "what your country can do for you" in plain(outcomes[call]["result"]), outcomes[call]


@pytest.fixture
def pcm(speech: Waveform, tmp_path: Path) -> str:
    """The path of samples without a header: 16 bit, mono, 24 kHz."""
    path = tmp_path / "speech.pcm"
    samples = soxr.resample(speech, SAMPLE_RATE, 24_000)
    path.write_bytes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
    return str(path)


def test_the_ai_sdk_streams_a_transcription(server: Server, pcm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_OPTIONS", "--experimental-websocket")  # Node.js 22 has one without being asked.
    outcomes = run_client(AI, server.url, pcm)
    for call in ("default", "options"):
        assert SPOKEN in plain(outcomes[call]["result"]), outcomes[call]


def test_deepgrams_sdk_listens(server: Server, pcm: str) -> None:
    outcomes = run_client(DEEPGRAM, server.url, pcm)
    for call in ("default", "events"):
        assert "what your country can do for you" in plain(outcomes[call]["result"]["text"]), outcomes[call]
    assert outcomes["default"]["result"]["kinds"][-1] == "ListenV1Metadata"
    assert "ListenV1SpeechStarted" in outcomes["events"]["result"]["kinds"]


def test_livekit_agents_listen(server: Server, pcm: str) -> None:
    outcomes = run_client(LIVEKIT, server.url, pcm)
    for call in ("default", "whisper"):
        assert SPOKEN in plain(outcomes[call]["result"]["text"]), outcomes[call]
        assert "start_of_speech" in outcomes[call]["result"]["kinds"]


def test_pipecat_listens(server: Server, pcm: str) -> None:
    outcomes = run_client(PIPECAT, server.url, pcm)
    for call in ("openai", "openai_server_vad", "deepgram"):
        assert SPOKEN in plain(outcomes[call]["result"]["text"]), outcomes[call]
        assert outcomes[call]["result"]["errors"] == []
    assert "ProposedUserStartedSpeakingFrame" in outcomes["openai_server_vad"]["result"]["kinds"]
