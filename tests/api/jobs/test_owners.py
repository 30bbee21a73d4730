"""A job belongs to the API key that submitted it."""

from __future__ import annotations

from pathlib import Path

import requests

from hf_asr_endpoint.api.access import Access
from hf_asr_endpoint.api.api_keys import ApiKeys, read_entries
from tests.api.conftest import wait_for
from tests.api.jobs.test_routes import TIMEOUT_S, post, serve_jobs, status
from tests.fakes import FakeTranscriber
from tests.jobs.receiver import run_receiver


def make_access(*entries: str) -> Access:
    return Access(keys=ApiKeys(lambda: read_entries(",".join(entries), None)), open_paths=())


def test_a_job_exists_for_the_key_that_submitted_it_only(
    tmp_path: Path, wav: bytes, transcriber: FakeTranscriber
) -> None:
    keys = {name: f"key-of-{name}-0123456789" for name in ("anna", "bert")}
    access = make_access(*(f"{name}:{key}" for name, key in keys.items()))
    anna, bert = ({"Authorization": f"Bearer {key}"} for key in keys.values())
    with serve_jobs(tmp_path, transcriber, access=access) as url:
        form = {"files": {"file": ("a.wav", wav)}, "data": {"model": "whisper-1"}}
        job_id = requests.post(f"{url}/v1/jobs", headers=anna, timeout=TIMEOUT_S, **form).json()["request_id"]
        job = f"{url}/v1/requests/{job_id}"
        for method in ("GET", "DELETE"):
            refused = requests.request(method, job, headers=bert, timeout=TIMEOUT_S)
            unknown = requests.request(method, f"{url}/v1/requests/Rx", headers=bert, timeout=TIMEOUT_S)
            assert (refused.status_code, unknown.status_code) == (404, 404)
            assert refused.json()["error"].replace(job_id, "Rx") == unknown.json()["error"]
        assert requests.get(job, headers=anna, timeout=TIMEOUT_S).status_code == 200
        assert requests.delete(job, headers=anna, timeout=TIMEOUT_S).status_code == 200


def test_a_job_of_deepinfras_api_has_an_owner_too(
    tmp_path: Path, wav: bytes, transcriber: FakeTranscriber
) -> None:
    access = make_access("anna:key-of-anna-0123456789", "key-of-bert-0123456789")
    with run_receiver() as receiver, serve_jobs(tmp_path, transcriber, access=access) as url:
        job_id = requests.post(
            f"{url}/v1/inference/openai/whisper-base",
            files={"audio": ("a.wav", wav)},
            data={"webhook": receiver.url},
            headers={"Authorization": "Bearer key-of-anna-0123456789"},
            timeout=TIMEOUT_S,
        ).json()["request_id"]
        for key, answered in (("key-of-anna-0123456789", 200), ("key-of-bert-0123456789", 404)):
            headers = {"Authorization": f"Bearer {key}"}
            assert (
                requests.get(f"{url}/v1/requests/{job_id}", headers=headers, timeout=TIMEOUT_S).status_code
                == answered
            )


def test_a_key_without_a_name_keeps_its_jobs_when_another_key_goes(
    tmp_path: Path, wav: bytes, transcriber: FakeTranscriber
) -> None:
    """By its number in the list, the third key would have become the second, with the jobs of that."""
    first, second, third = (f"key-number-{n}-0123456789" for n in (1, 2, 3))

    def ask(url: str, key: str) -> int:
        answer = requests.get(f"{url}/v1/requests/{job_id}", headers={"api-key": key}, timeout=TIMEOUT_S)
        return answer.status_code

    with serve_jobs(tmp_path, transcriber, access=make_access(first, second, third)) as url:
        form = {"files": {"file": ("a.wav", wav)}, "data": {"model": "whisper-1"}}
        submitted = requests.post(f"{url}/v1/jobs", headers={"api-key": second}, timeout=TIMEOUT_S, **form)
        job_id = submitted.json()["request_id"]
    with serve_jobs(tmp_path, FakeTranscriber(), access=make_access(second, third)) as url:
        assert (ask(url, second), ask(url, third)) == (200, 404)


def test_a_job_from_a_time_without_keys_is_everybodys(
    tmp_path: Path, wav: bytes, transcriber: FakeTranscriber
) -> None:
    with serve_jobs(tmp_path, transcriber) as url:
        job_id = post(url, wav).json()["request_id"]
        wait_for(lambda: status(url, job_id) == "succeeded")
    access = make_access("anna:key-of-anna-0123456789")
    with serve_jobs(tmp_path, FakeTranscriber(), access=access) as url:
        headers = {"api-key": "key-of-anna-0123456789"}
        assert requests.get(f"{url}/v1/requests/{job_id}", headers=headers, timeout=TIMEOUT_S).status_code == 200


def test_a_jobs_audio_counts_against_the_limits_of_its_key(
    tmp_path: Path, wav: bytes, transcriber: FakeTranscriber
) -> None:
    access = make_access("anna:key-of-anna-0123456789 audio_s_per_minute=1")
    with serve_jobs(tmp_path, transcriber, access=access) as url:

        def submit() -> requests.Response:
            files, headers = {"file": ("a.wav", wav)}, {"api-key": "key-of-anna-0123456789"}
            return requests.post(
                f"{url}/v1/jobs", files=files, data={"model": "whisper-1"}, headers=headers, timeout=TIMEOUT_S
            )

        for n in (1, 2):
            assert submit().status_code == 202
            wait_for(lambda n=n: transcriber.n_finished == n)
        assert submit().status_code == 429
