"""Headers of forms and of their parts."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.api.multipart_headers import CHARSETS, find_boundary, parse_part_headers
from hf_asr_endpoint.errors import InvalidRequest


@pytest.mark.parametrize(
    ("disposition", "name", "has_filename"),
    [
        pytest.param("name=file; filename=a.wav", "file", True, id="without quotes"),
        pytest.param('filename="a.wav"; name="file"', "file", True, id="the other way round"),
        pytest.param('name="file"; filename="a; name=b.wav"', "file", True, id="semicolon in quotes"),
        pytest.param('filename="; name=b"; name="file"', "file", True, id="a name in quotes"),
        pytest.param(r'name="say \"a\""', 'say "a"', False, id="quotes in quotes"),
        pytest.param('name="file"; filename="größe 音.wav"', "file", True, id="UTF-8"),
        pytest.param("name=file; filename*=UTF-8''gr%C3%B6%C3%9Fe.wav", "file", True, id="RFC 5987"),
        pytest.param('name="file"; filename=""', "file", True, id="an empty filename"),
        pytest.param('name="Größe"', "Größe", False, id="a name in UTF-8"),
        pytest.param('name=""', "", False, id="an empty name"),
    ],
)
def test_names_and_filenames(disposition: str, name: str, has_filename: bool) -> None:
    headers = parse_part_headers(f"Content-Disposition: form-data; {disposition}".encode())
    assert (headers.name, headers.has_filename) == (name, has_filename)


@pytest.mark.parametrize(
    ("declared", "boundary"),
    [
        ("boundary=abc", b"abc"),
        ('boundary="a b"; charset=utf-8', b"a b"),
        (" Boundary = '()+_,-./:=? ", b"'()+_,-./:=?"),
        ('boundary="' + "x" * 70 + '"', b"x" * 70),
    ],
)
def test_declared_boundaries(declared: str, boundary: bytes) -> None:
    assert find_boundary(f"multipart/form-data; {declared}", b"") == boundary


def test_a_content_type_of_any_length_is_searched_in_one_pass() -> None:
    with pytest.raises(InvalidRequest, match="not a multipart form"):
        find_boundary("multipart/form-data" + "; boundary" * 5_000, b"")


def test_each_charset_is_one_of_pythons() -> None:
    for charset, encoding in CHARSETS.items():
        headers = f"Content-Disposition: form-data; name=a\r\nContent-Type: text/plain; charset={charset}"
        assert parse_part_headers(headers.encode()).decode_text("a".encode(encoding)) == "a"
