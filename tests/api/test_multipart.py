"""Forms as clients write them, and as they must not be."""

from __future__ import annotations

import contextlib
import gc
import random
import warnings
from base64 import b64encode
from typing import Any

import pytest

from hf_asr_endpoint.api.multipart import FormLimits, FormParser
from hf_asr_endpoint.api.multipart_headers import find_boundary
from hf_asr_endpoint.api.spool import SPOOL_BYTES
from hf_asr_endpoint.errors import AsrError, BodyTooLarge, InvalidParameter, InvalidRequest

BOUNDARY = b"----form7MA4YWxk"
TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
MAX_FILE_BYTES = 4_000_000
LIMITS = FormLimits(max_parts=20, max_text_bytes=1_000, max_texts_bytes=2_000, max_header_bytes=500)
BLOCK_BYTES = 2**17


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    """Return one part: what follows "form-data; " in its header, its content, its further headers."""
    lines = [f"Content-Disposition: form-data; {disposition}", *headers]
    return b"--" + BOUNDARY + b"\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def parse(
    content: bytes, *, content_type: str | None = TYPE, step: int = BLOCK_BYTES, decodes_base64: bool = False
) -> tuple[tuple[tuple[str, str], ...], bytes | None]:
    """Parse a form that arrives in blocks of `step` bytes. Return its texts and its file's bytes."""
    parser = FormParser(
        find_boundary(content_type, content[:512]),
        file_field="file",
        decodes_base64=decodes_base64,
        max_file_bytes=MAX_FILE_BYTES,
        limits=LIMITS,
    )
    with contextlib.closing(parser):
        for begin in range(0, len(content), step):
            parser.feed(content[begin : begin + step])
        form = parser.finish()
        return form.texts, None if form.audio is None else form.audio.file.read()


def texts_of(content: bytes, **options: Any) -> tuple[tuple[str, str], ...]:
    texts, file = parse(content, **options)
    assert file is None
    return texts


def file_of(content: bytes, **options: Any) -> bytes:
    texts, file = parse(content, **options)
    assert not texts
    assert file is not None
    return file


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, BLOCK_BYTES])
def test_texts_and_the_file_however_they_arrive(step: int) -> None:
    content = body(
        part('name="model"', b"whisper-1"),
        part('name="file"; filename="a.wav"', b"RIFF\r\n--\r\n", "Content-Type: audio/wav"),
        part('name="include[]"', b"logprobs"),
        part('name="include[]"', b""),
    )
    texts, file = parse(content, step=step)
    assert texts == (("model", "whisper-1"), ("include[]", "logprobs"), ("include[]", ""))
    assert file == b"RIFF\r\n--\r\n"


@pytest.mark.parametrize("n_bytes", [1, 1_001, SPOOL_BYTES + 1, MAX_FILE_BYTES])
def test_a_file_without_filename_or_type_keeps_its_bytes(n_bytes: int) -> None:
    """Starlette's reading takes such a part for text: more than 1 MB of it is refused, less is corrupted."""
    content = random.Random(n_bytes).randbytes(n_bytes)
    assert file_of(body(part('name="file"', content))) == content


@pytest.mark.parametrize("shift", range(-40, 40, 3))
def test_content_that_is_nearly_the_boundary_wherever_blocks_end(shift: int) -> None:
    near = b"\r\n--" + BOUNDARY[:-1] + b"\r\n--\r\r\n-" + BOUNDARY + b"\r\n\r\n--" + BOUNDARY + b"!"
    content = bytes(BLOCK_BYTES + shift - 120) + near * 3
    assert file_of(body(part('name="file"', content))) == content


@pytest.mark.parametrize("step", [1, 5, BLOCK_BYTES])
def test_blanks_may_follow_a_boundary(step: int) -> None:
    content = part('name="a"', b"1").replace(BOUNDARY, BOUNDARY + b" \t ") + body(part('name="b"', b"2"))
    assert texts_of(content, step=step) == (("a", "1"), ("b", "2"))


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,"])
@pytest.mark.parametrize("step", [1, 100, BLOCK_BYTES])
def test_a_file_part_may_be_base64_where_that_is_accepted(prefix: str, step: int) -> None:
    audio = bytes(range(256)) * 5
    content = body(part('name="file"', prefix.encode() + b64encode(audio)))
    assert file_of(content, decodes_base64=True, step=step) == audio
    assert file_of(content, step=step) == prefix.encode() + b64encode(audio)


def test_a_file_with_a_filename_is_never_base64() -> None:
    content = body(part('name="file"; filename=""', b"QUJD"))
    assert file_of(content, decodes_base64=True) == b"QUJD"


@pytest.mark.parametrize(
    "headers", [(), ("Content-Type: text/plain",), ("Content-Type: application/json",), ("Content-Type: x/y",)]
)
def test_a_short_text_sent_as_a_file_is_a_text(headers: tuple[str, ...]) -> None:
    content = body(part('name="language"; filename="blob"', b"de", *headers), part('name="file"', b"RIFF"))
    assert parse(content) == ((("language", "de"),), b"RIFF")


def test_header_names_are_in_any_case_and_order() -> None:
    content = b'--X\r\ncontent-type: text/plain\r\nCONTENT-DISPOSITION: form-data; name="a"\r\n\r\n1\r\n--X--'
    assert texts_of(content, content_type='Multipart/Form-Data; Boundary="X"') == (("a", "1"),)


@pytest.mark.parametrize(
    "content_type",
    [
        *(None, "", "audio/wav", "multipart/form-data", "application/json"),
        *(
            "multipart/form-data; boundary*=idna''abc",
            "multipart/form-data; boundary=ä",
            "x; boundary=" + "y" * 71,
        ),
        *('x; boundary="', 'x; boundary=""', "x; boundary=a\0b"),
    ],
)
def test_without_a_valid_declared_boundary_the_first_line_is_it(content_type: str | None) -> None:
    content = body(part('name="model"', b"whisper-1"))
    assert texts_of(content, content_type=content_type) == (("model", "whisper-1"),)
    with pytest.raises(InvalidRequest, match="not a multipart form"):
        parse(b"RIFF\r\n", content_type=content_type)


def test_line_breaks_may_precede_the_form_and_anything_may_follow_it() -> None:
    content = b"\r\n\r\n" + body(part('name="a"', b"1")) + b"epilogue\r\n" + bytes(2 * BLOCK_BYTES)
    assert texts_of(content) == (("a", "1"),)


def test_an_empty_form_has_no_parts() -> None:
    assert parse(body()) == ((), None)


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        *(("utf-8", "utf-8"), ("UTF8", "utf-8"), ("ISO-8859-1", "latin-1"), ('"windows-1252"', "cp1252")),
        *(("utf-16", "utf-16"), ("utf-16le", "utf-16-le")),
    ],
)
def test_a_text_may_name_its_charset(charset: str, encoding: str) -> None:
    headers = f"Content-Type: text/plain; charset={charset}"
    assert texts_of(body(part('name="prompt"', "é".encode(encoding), headers))) == (("prompt", "é"),)


@pytest.mark.parametrize(
    "charset", ["utf-8", "nonsense", "zlib", "punycode", "idna", "raw_unicode_escape", "us-ascii", "utf-16", ""]
)
def test_bytes_that_are_not_text_are_refused_by_name(charset: str) -> None:
    """Python's punycode took 30 s for 2.6 MB, and a charset with NUL was an error of the server."""
    with pytest.raises(InvalidParameter, match="prompt is not text") as refused:
        parse(body(part('name="prompt"', b"\xff", f"Content-Type: text/plain; charset={charset}")))
    assert refused.value.parameter == "prompt"


@pytest.mark.parametrize(
    ("content", "charset"),
    [
        (b"a\0", "utf-8"),
        (b"\x00\xd8", "utf-16le"),
        (b"\xed\xa0\x80", "utf-8"),
    ],
    ids=["NUL", "half a surrogate pair", "the same in UTF-8"],
)
def test_text_that_is_not_whole_is_refused(content: bytes, charset: str) -> None:
    with pytest.raises(InvalidParameter, match="prompt") as refused:
        parse(body(part('name="prompt"', content, f"Content-Type: text/plain; charset={charset}")))
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
        pytest.param(WHOLE.replace(BOUNDARY, BOUNDARY + b"x", 1), "is broken", id="a longer boundary"),
        pytest.param(body(part("filename=a", b"1")), "part without a name", id="no name"),
        pytest.param(
            b"--" + BOUNDARY + b"\r\n\r\n1\r\n--" + BOUNDARY + b"--", "part without a name", id="no headers"
        ),
        pytest.param(
            body(part('name="a"', b"", "no header")), "is not a header", id="a line that is not a header"
        ),
        pytest.param(body(part('name="a"', b"", "X: a\rb")), "is not a header", id="half a line break"),
        pytest.param(body(part('name="a\0b"', b"")), "is not a header", id="NUL in a name"),
        pytest.param(
            body(part('name="a"', b"MQ==", "Content-Transfer-Encoding: base64")), "'base64'", id="an encoded part"
        ),
        pytest.param(body(*[part('name="a"', b"1")] * 21), "more than 20 parts", id="too many parts"),
        pytest.param(
            body(part('name="a"', b"", *[f"X-{i}: y" for i in range(16)])), "16 headers", id="too many headers"
        ),
        pytest.param(body(part('name="a"', b"", "X: " + "y" * 500)), "500 bytes of headers", id="long headers"),
        pytest.param(body(part(f'name="{"a" * 101}"', b"")), "of 101 characters", id="a long name"),
        pytest.param(body(part('name="a"', bytes(1_001))), "a has more than 1000 bytes", id="too long a text"),
        pytest.param(
            body(*[part('name="a"', b"x" * 700)] * 3), "more than 2000 bytes together", id="too much text"
        ),
        pytest.param(body(part('name="file"', b"")), "file is empty", id="an empty file"),
        pytest.param(body(*[part('name="file"', b"RIFF")] * 2), "file is given twice", id="two files"),
        pytest.param(
            body(part('name="a"; filename="b"', b"\xff\xd8")), "allowed as a file: file", id="another file"
        ),
        pytest.param(
            body(part('name="a"; filename="b"', b"x" * 1_001)), "not a short text", id="another long file"
        ),
    ],
)
def test_broken_forms_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse(content)


@pytest.mark.parametrize("content", [b'{"model": "whisper-1"}', b"RIFF\r\n", b"--", b"--\r\n", b""])
def test_bodies_that_are_not_forms_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest, match="is not a multipart form"):
        parse(content, content_type="application/json")


def test_a_boundary_repeated_within_a_part_is_refused() -> None:
    """RFC 2046 forbids it; looking at each took a second for each megabyte."""
    near = b"\r\n--" + BOUNDARY + b"!"
    assert file_of(body(part('name="file"', near * 100))) == near * 100
    with pytest.raises(InvalidRequest, match="again and again"):
        parse(body(part('name="file"', near * 101)))


def test_a_file_over_the_limit_is_refused() -> None:
    with pytest.raises(BodyTooLarge, match="allowed: 4000000 bytes") as refused:
        parse(body(part('name="file"', bytes(MAX_FILE_BYTES + 1))))
    assert refused.value.n_bytes > MAX_FILE_BYTES


def test_mutated_forms_are_read_or_refused_with_an_error_of_our_own() -> None:
    chance = random.Random(0)
    whole = body(part("name=\"a\"; filename*=UTF-8''b", b"1", "Content-Type: text/plain; charset=x"))
    whole += body(part('name="b"', b"1", "Content-Type: text/plain; charset=x"))
    for _ in range(3_000):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.choice(b"\r\n-=;:\"'*%\\ \x00\xff9a")
        with contextlib.suppress(AsrError):
            parse(bytes(content), step=chance.choice((7, BLOCK_BYTES)))


LARGE = part('name="file"', bytes(SPOOL_BYTES + 1))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(body(LARGE), id="whole"),
        pytest.param(LARGE, id="broken off"),
        pytest.param(body(LARGE, part("filename=a", b"")), id="refused"),
        pytest.param(body(part('name="file"', bytes(MAX_FILE_BYTES + 1))), id="too large"),
    ],
)
def test_no_file_stays_open(content: bytes) -> None:
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        with contextlib.suppress(InvalidRequest):
            parse(content)
        gc.collect()
    assert not unclosed
