"""Tables of transcriptions: a row for each recording, whatever ended the process before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_asr_endpoint.command_line.transcribe import results
from hf_asr_endpoint.command_line.transcribe.results import open_results
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import Transcription
from tests.fakes import make_segment


def spoken(text: str) -> Transcription:
    segments = (make_segment(f" {text}", end=1.0, tokens=(1, 2)),) if text else ()
    return Transcription(task="transcribe", language="en", duration_s=1.0, segments=segments)


def test_a_line_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "calls.jsonl"
    table = open_results(path, overwrites=False, shows_words=False)
    table.add("/a.mp3", spoken("one"))
    table.close()
    with path.open("ab") as file:
        file.write(b'{"location": "/b.mp3", "te')
    again = open_results(path, overwrites=False, shows_words=False)
    assert again.done() == {"/a.mp3"}
    again.add("/b.mp3", spoken("two"))
    again.close()
    assert [json.loads(line)["text"] for line in path.read_text().splitlines()] == ["one", "two"]
    anew = open_results(path, overwrites=True, shows_words=False)
    assert anew.done() == set()
    anew.close()


def test_parquet_has_the_same_columns_in_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed; `make test-ray` has it")
    monkeypatch.setattr(results, "ROWS_PER_PART", 2)
    path = tmp_path / "calls.parquet"
    for name, text in (("/a.mp3", ""), ("/b.mp3", ""), ("/c.mp3", "three")):
        table = open_results(path, overwrites=False, shows_words=True)
        table.add(name, spoken(text))
        table.close()
    table = open_results(path, overwrites=False, shows_words=True)
    assert table.done() == {"/a.mp3", "/b.mp3", "/c.mp3"}
    for name in ("/d.mp3", "/e.mp3"):
        table.add(name, spoken("more"))
    assert len(list(path.glob("part-*.parquet"))) == 4  # It was full.
    rows = parquet.read_table(path).to_pylist()
    assert [row["text"] for row in rows] == ["", "", "three", "more", "more"]
    assert rows[2]["segments"][0]["tokens"] == [1, 2]


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.parquet"])
def test_a_recording_that_is_done_again_for_its_texts_has_one_row(tmp_path: Path, name: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed; `make test-ray` has it")
    path = tmp_path / name
    for locations in (["/a.mp3"], ["/a.mp3", "/b.mp3", "/b.mp3"]):
        table = open_results(path, overwrites=False, shows_words=False)
        for location in locations:
            table.add(location, spoken("one"))
        table.close()
    again = open_results(path, overwrites=False, shows_words=False)
    again.close()
    assert again.done() == {"/a.mp3", "/b.mp3"}
    n_rows = parquet.read_table(path).num_rows if path.is_dir() else len(path.read_text().splitlines())
    assert n_rows == 2


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"ends in \.jsonl or"):
        open_results(tmp_path / "calls.csv", overwrites=False, shows_words=False)
