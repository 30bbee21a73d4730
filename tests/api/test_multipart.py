"""Forms as clients write them, and as they must not be."""

from __future__ import annotations

import contextlib
import gc
import io
import random
import warnings

import pytest

from hf_asr_endpoint.api.body import SPOOL_BYTES
from hf_asr_endpoint.api.multipart import Form, FormLimits, parse_multipart
from hf_asr_endpoint.errors import AsrError, BodyTooLarge, InvalidParameter, InvalidRequest

BOUNDARY = b"----form7MA4YWxk"
TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
LIMITS = FormLimits(
    max_file_bytes=4_000_000, max_parts=20, max_text_bytes=1_000, max_headers=4, max_header_bytes=500
)


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    """Return one part: what stands behind "form-data; " in its header, its content, its further headers."""
    lines = [f"Content-Disposition: form-data; {disposition}", *headers]
    return b"--" + BOUNDARY + b"\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def parse(content: bytes, *, content_type: str | None = TYPE, limits: FormLimits = LIMITS) -> Form:
    return parse_multipart(io.BytesIO(content), content_type=content_type, file_fields=("file",), limits=limits)


def test_texts_and_files_in_their_order() -> None:
    content = body(
        part('name="model"', b"whisper-1"),
        part('name="file"; filename="a.wav"', b"RIFF", "Content-Type: audio/wav"),
        part('name="include[]"', b"logprobs"),
        part('name="include[]"', b""),
    )
    with parse(content) as form:
        assert [found.name for found in form.parts] == ["model", "file", "include[]", "include[]"]
        assert [found.text() for found in form.parts] == ["whisper-1", "RIFF", "logprobs", ""]
        assert [found.filename for found in form.parts] == [None, "a.wav", None, None]
        assert [found.n_bytes for found in form.parts] == [9, 4, 8, 0]


@pytest.mark.parametrize("n_bytes", [0, 1, 1_001, SPOOL_BYTES + 1, 3_999_999])
def test_a_file_without_filename_or_type_keeps_its_bytes(n_bytes: int) -> None:
    """Starlette's reading takes such a part for text: more than 1 MB of it is refused, less is corrupted."""
    content = random.Random(n_bytes).randbytes(n_bytes)
    with parse(body(part('name="file"', content))) as form:
        assert form.parts[0].filename is None
        assert form.parts[0].file.read() == content


@pytest.mark.parametrize("shift", range(-40, 40, 3))
def test_what_nearly_is_the_boundary_is_content_wherever_blocks_end(shift: int) -> None:
    near = b"\r\n--" + BOUNDARY[:-1] + b"\r\n--\r\r\n-" + BOUNDARY + b"\r\n\r\n--" + BOUNDARY + b"!"
    content = bytes(2**18 + shift - 120) + near[:-20] * 3
    with parse(body(part('name="file"', content))) as form:
        assert form.parts[0].file.read() == content


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        pytest.param("name=file; filename=a.wav", "file", "a.wav", id="without quotes"),
        pytest.param('filename="a.wav"; name="file"', "file", "a.wav", id="the other way round"),
        pytest.param('name="file"; filename="a;b.wav"', "file", "a;b.wav", id="semicolon in quotes"),
        pytest.param(r'name="file"; filename="say \"a\".wav"', "file", 'say "a".wav', id="quotes in quotes"),
        pytest.param('name="file"; filename="größe 音.wav"', "file", "größe 音.wav", id="UTF-8"),
        pytest.param("name=file; filename*=UTF-8''gr%C3%B6%C3%9Fe.wav", "file", "größe.wav", id="RFC 5987"),
        pytest.param('name="file"; filename=""', "file", "", id="an empty filename"),
        pytest.param('name="Größe"', "Größe", None, id="a name in UTF-8"),
        pytest.param('name=""', "", None, id="an empty name"),
    ],
)
def test_names_and_filenames(disposition: str, name: str, filename: str | None) -> None:
    with parse(body(part(disposition, b"x"))) as form:
        assert (form.parts[0].name, form.parts[0].filename) == (name, filename)


def test_header_names_are_in_any_case_and_order() -> None:
    content = b'--X\r\ncontent-type: text/plain\r\nCONTENT-DISPOSITION: form-data; name="a"\r\n\r\n1\r\n--X--'
    with parse(content, content_type='Multipart/Form-Data; Boundary="X"') as form:
        assert (form.parts[0].name, form.parts[0].text()) == ("a", "1")


@pytest.mark.parametrize("content_type", [None, "", "audio/wav", "multipart/form-data", "application/json"])
def test_without_a_declared_boundary_the_first_line_is_it(content_type: str | None) -> None:
    with parse(body(part('name="model"', b"whisper-1")), content_type=content_type) as form:
        assert form.parts[0].text() == "whisper-1"


def test_what_stands_behind_the_end_is_nothing() -> None:
    with parse(body(part('name="a"', b"1")) + b"epilogue\r\n") as form:
        assert len(form.parts) == 1


def test_an_empty_form_has_no_parts() -> None:
    with parse(body()) as form:
        assert form.parts == []


@pytest.mark.parametrize(
    ("content_type", "content"),
    [("text/plain; charset=utf-8", "é".encode()), ("text/plain; charset=ISO-8859-1", b"\xe9")],
)
def test_a_text_may_name_its_charset(content_type: str, content: bytes) -> None:
    with parse(body(part('name="prompt"', content, f"Content-Type: {content_type}"))) as form:
        assert form.parts[0].text() == "é"


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=nonsense", "; charset=zlib"])
def test_what_is_no_text_is_refused_by_name(charset: str) -> None:
    with (
        parse(body(part('name="prompt"', b"\xff", f"Content-Type: text/plain{charset}"))) as form,
        pytest.raises(InvalidParameter, match="prompt is not text") as refused,
    ):
        form.parts[0].text()
    assert refused.value.parameter == "prompt"


WHOLE = body(part('name="model"', b"whisper-1"), part('name="file"; filename="a"', b"RIFF"))


def test_a_form_that_breaks_off_anywhere_is_refused() -> None:
    for n_bytes in range(1, len(WHOLE) - len(b"\r\n")):
        with pytest.raises(InvalidRequest, match="breaks off"):
            parse(WHOLE[:n_bytes])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b'{"model": "whisper-1"}', "is broken", id="JSON"),
        pytest.param(WHOLE.replace(BOUNDARY, b"another"), "is broken", id="another boundary"),
        pytest.param(body(part("filename=a", b"1")), "part without a name", id="no name"),
        pytest.param(
            b"--" + BOUNDARY + b"\r\n\r\n1\r\n--" + BOUNDARY + b"--", "part without a name", id="no headers"
        ),
        pytest.param(body(part('name="a"', b"", "no header")), "is broken", id="a line that is no header"),
        pytest.param(
            body(part('name="a"', b"MQ==", "Content-Transfer-Encoding: base64")), "'base64'", id="an encoded part"
        ),
        pytest.param(body(*[part('name="a"', b"1")] * 21), "more than 20 parts", id="too many parts"),
        pytest.param(body(part('name="a"', b"", *["X: y"] * 4)), "is broken", id="too many headers"),
        pytest.param(body(part('name="a"', b"", "X: " + "y" * 500)), "is broken", id="too long a header"),
        pytest.param(body(part('name="a"', bytes(1_001))), "a has more than 1000 bytes", id="too long a text"),
    ],
)
def test_broken_forms_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse(content)


@pytest.mark.parametrize("content", [b'{"model": "whisper-1"}', b"RIFF\r\n", b"--", b"--\r\n", b""])
def test_what_is_no_form_at_all_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest, match="is no multipart form"):
        parse(content, content_type="application/json")


@pytest.mark.parametrize("disposition", ['name="file"', 'name="other"; filename="a"'])
def test_a_file_over_the_limit_is_refused(disposition: str) -> None:
    with pytest.raises(BodyTooLarge, match="allowed: 4000000 bytes") as refused:
        parse(body(part(disposition, bytes(4_000_001))))
    assert refused.value.n_bytes > 4_000_000


def test_noise_never_does_worse_than_to_be_refused() -> None:
    """Every mutation of a whole form is read or refused with an error of our own."""
    chance = random.Random(0)
    whole = body(part("name=\"a\"; filename*=UTF-8''b", b"1", "Content-Type: text/plain; charset=x"))
    for _ in range(3_000):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.choice(b"\r\n-=;:\"'*%\\ \x00\xff9a")
        try:
            with parse(bytes(content)) as form:
                for found in form.parts:
                    found.text()
        except AsrError:
            pass


LARGE = part('name="file"', bytes(SPOOL_BYTES + 1))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(body(LARGE), id="whole"),
        pytest.param(LARGE, id="broken off"),
        pytest.param(body(LARGE, part("filename=a", b"")), id="refused"),
        pytest.param(body(LARGE, part('name="file"', bytes(4_000_001))), id="too large"),
    ],
)
def test_no_file_stays_open(content: bytes) -> None:
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        with contextlib.suppress(InvalidRequest):
            parse(content).close()
        gc.collect()
    assert not unclosed
