"""Files of object stores, without the stores: a folder of this machine is in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_asr_endpoint.errors import InvalidParameter

pytest.importorskip("ray", reason="Ray is not installed; `make test-ray` has it")

from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from hf_asr_endpoint.command_line.transcribe.archive import find_archive
from hf_asr_endpoint.ray_data import locations


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("abfs://c@account.dfs.core.windows.net/dir", "abfs://c@account.dfs.core.windows.net/dir/a%20b/c.mp3"),
        (
            "s3://key:secret@bucket/dir/?region=eu-west-1",
            "s3://key:secret@bucket/dir/a%20b/c.mp3?region=eu-west-1",
        ),
        ("hdfs://namenode:8020/dir", "hdfs://namenode:8020/dir/a%20b/c.mp3"),
    ],
)
def test_files_of_a_folder_keep_account_host_and_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, expected: str
) -> None:
    file = tmp_path / "store" / "dir" / "a b" / "c.mp3"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"audio")
    store = SubTreeFileSystem(str(tmp_path), LocalFileSystem())
    monkeypatch.setattr(locations, "_resolve", lambda uri: (store, "store/dir"))
    (located,) = locations.list_location(uri, recursive=True)
    assert (located.uri, located.relative) == (expected, "a b/c.mp3")
    (recording,) = find_archive([uri], recursive=True)
    assert recording.source == expected
    assert recording.location == recording.shown == expected.replace("secret", "***")


def test_a_folder_may_end_with_a_slash(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"audio")
    (located,) = locations.list_location(f"file://{tmp_path}/", recursive=False)
    with locations.open_location(located.uri) as file:
        assert file.read() == b"audio"


@pytest.mark.parametrize("uri", ["s3x://key:secret@bucket", "s3://key:sec/secret@bucket"])
def test_an_error_tells_no_password(uri: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        locations.open_location(uri)
    assert "secret" not in str(caught.value)
    assert "key:***@bucket" in str(caught.value)
