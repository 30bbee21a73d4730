"""Audio in object storage: fsspec's own in memory, and S3 as a server on this machine speaks it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from hf_asr_endpoint.errors import AudioLost, InvalidSettings, StorageFailed
from hf_asr_endpoint.jobs.bucket import Bucket


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Run a server that speaks S3, and return the URL of a bucket, with what S3's clients read from variables."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="recordings")
        yield "s3://recordings"
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    root = "memory:/" if request.param == "memory" else request.getfixturevalue("s3")
    return f"{root}/{uuid4().hex}/jobs"


def test_audio_round_trips(url: str) -> None:
    audio = io.BytesIO(b"head" + bytes(range(256)) * 10_000)
    audio.seek(4)
    Bucket(url, "audio").add("a", audio)
    with Bucket(url, "audio").open("a") as file:
        assert file.read() == audio.getvalue()[4:]
        assert file.seek(1) == 1
        assert file.read(2) == b"\1\2"


def test_sizes_are_those_of_all_files(url: str) -> None:
    bucket = Bucket(url, "audio")
    assert bucket.sizes() == {}
    bucket.add("a", io.BytesIO(b"audio"))
    bucket.add("b", io.BytesIO(b"au"))
    assert bucket.sizes() == {"a": 5, "b": 2}


def test_remove_is_idempotent(url: str) -> None:
    bucket = Bucket(url, "audio")
    bucket.add("a", io.BytesIO(b"audio"))
    bucket.remove("a")
    bucket.remove("a")
    assert bucket.sizes() == {}
    with pytest.raises(AudioLost, match="send the job again"):
        bucket.open("a")


class BrokenFile(io.BytesIO):
    """A file whose second read fails."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(3)


def test_a_copy_that_fails_leaves_nothing(url: str) -> None:
    bucket = Bucket(url, "audio")
    with pytest.raises(StorageFailed, match="the audio cannot be kept"):
        bucket.add("a", BrokenFile(b"audio"))
    assert bucket.sizes() == {}


def test_a_url_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidSettings, match=r"'nowhere://a': .*; allowed: a folder, or a URL"):
        Bucket("nowhere://a", "audio")


def test_audio_that_cannot_be_read_now_is_not_lost(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(url, "audio")

    def fail(*paths: str) -> None:
        raise PermissionError("the key has expired")

    monkeypatch.setattr(bucket._files, "get_file", fail)
    with pytest.raises(StorageFailed, match="cannot be read") as caught:
        bucket.open("a")
    assert not isinstance(caught.value, AudioLost)
