"""Limits of single API keys: requests at a time, and seconds of audio a minute."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
import requests

from hf_asr_endpoint.api.api_keys import ApiKey, KeyLimits
from hf_asr_endpoint.api.app import create_app
from hf_asr_endpoint.api.key_use import KeyUse
from hf_asr_endpoint.errors import Overloaded
from tests.api.conftest import make_services, serve_app, wait_for
from tests.api.test_access import access
from tests.fakes import FakeTranscriber

ANNA, BERT = ("key-of-anna-0123456789", "key-of-bert-0123456789")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def post(url: str, wav: bytes, key: str) -> requests.Response:
    return requests.post(url, data=wav, headers={"Authorization": f"Bearer {key}"}, timeout=10)


def test_requests_of_one_key_at_a_time() -> None:
    use, key = KeyUse(Clock()), ApiKey(name="anna", owner="anna", limits=KeyLimits(requests=2))
    with ExitStack() as held:
        held.enter_context(use.permit(key))
        held.enter_context(use.permit(key))
        held.enter_context(use.permit(ApiKey(name="bert", owner="bert", limits=KeyLimits(requests=1))))
        with pytest.raises(Overloaded, match="the API key anna has 2 requests in flight; allowed: 2 at a time"):
            held.enter_context(use.permit(key))
    with use.permit(key):
        pass


def test_audio_is_earned_back_with_time() -> None:
    clock = Clock()
    use, key = KeyUse(clock), ApiKey(name="anna", owner="anna", limits=KeyLimits(audio_s_per_minute=60))
    with use.permit(key):
        use.charge("anna", 90.0)
    with pytest.raises(Overloaded, match="allowed: 60 seconds of it a minute; try again in 31 s") as refused:
        use.permit(key).__enter__()
    clock.now += refused.value.retry_after_s
    with use.permit(key):
        use.charge("anna", 10.0)
    clock.now += 1_000
    with use.permit(key):
        use.charge("anna", 59.0)
    with use.permit(key):
        pass


def test_unknown_owners_and_keys_without_limits_cost_nothing() -> None:
    use, key = KeyUse(Clock()), ApiKey(name="anna", owner="anna")
    use.charge(None, 10.0)
    use.charge("nobody", 10.0)
    for _ in range(100):
        with use.permit(key):
            use.charge("anna", 1e6)


def test_a_second_request_of_a_key_is_429_and_another_key_is_served(
    transcriber: FakeTranscriber, wav: bytes
) -> None:
    services = make_services(transcriber, access=access(f"anna:{ANNA} requests=1", f"bert:{BERT}"))
    with serve_app(create_app(services)) as url:
        transcriber.hold()
        first = threading.Thread(target=lambda: post(url, wav, ANNA))
        first.start()
        wait_for(lambda: transcriber.n_running == 1)
        refused = post(url, wav, ANNA)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert "the API key anna has 1 requests in flight" in refused.json()["error"]
        assert requests.get(f"{url}/v1/models", headers={"api-key": ANNA}, timeout=10).ok
        transcriber.release()
        first.join()
        assert post(url, wav, BERT).ok
        assert post(url, wav, ANNA).ok


def test_audio_counts_also_if_it_is_streamed(transcriber: FakeTranscriber, wav: bytes) -> None:
    """Each request has one second of audio, counted once its client has the end. Some is earned back meanwhile."""
    services = make_services(transcriber, access=access(f"anna:{ANNA} audio_s_per_minute=2"))
    form = {"model": "whisper-1", "stream": "true"}
    with serve_app(create_app(services)) as url:
        for _ in range(6):
            headers, files = {"api-key": ANNA}, {"file": ("a.wav", wav)}
            path = f"{url}/v1/audio/transcriptions"
            answer = requests.post(path, headers=headers, files=files, data=form, timeout=10)
            if answer.status_code != 200:
                break
            assert "done" in answer.text
        assert answer.status_code == 429
        assert "2 seconds of it a minute" in answer.json()["error"]["message"]
