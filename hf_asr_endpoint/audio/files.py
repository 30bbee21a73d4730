"""The files that decoders read: one that another thread can close, and one that limits FFmpeg's work.

FFmpeg itself limits neither the time of a call nor the number of tags: 25 MB of tiny atoms keep it busy for 10 s,
and it compares each tag with all earlier ones, so that 80,000 tags in 1 MB of flac take a minute. While it does so
it does not read, and nothing can stop it; so tags are counted before it works on them.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import BinaryIO, Protocol, TypeVar

from hf_asr_endpoint.errors import InvalidAudio

T = TypeVar("T")

MAX_CALL_CPU_S = 2.0
"""CPU time of one call into FFmpeg, checked when it reads. Opening a long mp4 takes some hundredths of it."""

MAX_TAGS = 10_000
"""Tags of one file, such as TITLE. FFmpeg needs 0.7 s for this number."""

MAX_WEBM_TAGS = 600
"""Tags and chapters of a Matroska file. FFmpeg needs 0.3 s for this number, and the time grows with its cube."""

# By the first bytes of ogg and Matroska: strings that are in every tag, and how many of them FFmpeg may read while
# it opens a file. Other bytes contain them by chance, but FFmpeg reads few of those before a file is open.
_TAG_LIMITS: dict[bytes, tuple[tuple[bytes, ...], int]] = {
    b"OggS": ((b"=",), MAX_TAGS),
    b"\x1aE\xdf\xa3": ((b"\x67\xc8", b"\x73\xc4"), MAX_WEBM_TAGS),  # SimpleTag, ChapterUID
}

MAX_FLAC_BLOCKS = 1_000
"""Metadata blocks of a flac file. Only pictures and private data may come more than once."""

MAX_ID3_TAGS = 100
"""ID3 tags before the audio; one is usual."""

MIN_TAG_BYTES = 7  # of a tag in a flac file: its length in 4 bytes, then A=B
_TAG_BLOCKS = (b"\x04", b"\x84")  # VORBIS_COMMENT; the second one is the last metadata block


class SeekableFile(Protocol):
    """What decoders need of a file."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, whence: int = ..., /) -> int: ...

    def tell(self) -> int: ...


class ClosableFile:
    """A file that decoders find at its end as soon as `end` is called, or it is closed, whatever they are doing.

    It does not raise: an error in a callback cannot pass through libsndfile, and FFmpeg may ignore it. The files
    of a request are closed when its client leaves, while a decoder may still be at work.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.has_ended = False
        """Whether decoders have found it, or will find it, at an end that is not its own."""

    def read(self, size: int, /) -> bytes:
        return b"" if self.has_ended else self._unless_closed(lambda: self._file.read(size), b"")

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._unless_closed(lambda: self._file.seek(offset, whence), 0)

    def tell(self) -> int:
        return self._unless_closed(self._file.tell, 0)

    def end(self) -> None:
        """Make the file end here. Any thread may call it."""
        self.has_ended = True

    def close(self) -> None:
        """Close the underlying file. No decoder may use it any more."""
        self._file.close()

    def _unless_closed(self, use: Callable[[], T], otherwise: T) -> T:
        try:
            return use()
        except ValueError:
            if not self._file.closed:
                raise
            self.has_ended = True
            return otherwise


class RestOfFile:
    """A seekable file from an offset on."""

    def __init__(self, file: SeekableFile, start: int) -> None:
        self._file = file
        self._start = start
        file.seek(start)

    def read(self, size: int, /) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset + self._start if whence == io.SEEK_SET else offset, whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


class SideView:
    """The same file at a position of its own: it leaves no trace of its reading. For one thread."""

    def __init__(self, file: SeekableFile) -> None:
        self._file = file
        self._position = 0

    def read(self, size: int, /) -> bytes:
        position = self._file.tell()
        self._file.seek(self._position)
        data = self._file.read(size)
        self._position += len(data)
        self._file.seek(position)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        position = self._file.tell()
        if whence == io.SEEK_CUR:
            offset, whence = offset + self._position, io.SEEK_SET
        self._position = self._file.seek(offset, whence)
        self._file.seek(position)
        return self._position

    def tell(self) -> int:
        return self._position


class BoundedInput:
    """A seekable file which ends early when FFmpeg reaches a limit.

    It does not raise then: a demuxer may ignore an error, which PyAV raises in a later call of the same thread.
    """

    def __init__(self, file: SeekableFile) -> None:
        """Raise InvalidAudio if a flac file has too many tags."""
        self._file = file
        file.seek(0)
        self._deadline = 0.0
        self._tag_marks, self._max_tags = _TAG_LIMITS.get(file.read(4), ((), 0))
        self._n_tags = 0
        self.reached_limit = ""
        """The limit that FFmpeg reached, or an empty text."""
        file.seek(0)
        _check_flac_tags(file)
        file.seek(0)

    def begin_call(self, *, is_opening: bool = False) -> None:
        """Start the time of a call, which must read in the same thread."""
        self._tag_marks = self._tag_marks if is_opening else ()
        self._deadline = time.thread_time() + MAX_CALL_CPU_S

    def read(self, size: int, /) -> bytes:
        if time.thread_time() > self._deadline:
            self.reached_limit = f"one step of its decoding takes more than {MAX_CALL_CPU_S:g} s of computing time"
        if self.reached_limit:
            return b""
        data = self._file.read(size)
        self._n_tags += sum(data.count(mark) for mark in self._tag_marks)
        if self._n_tags > self._max_tags:
            self.reached_limit = f"it has more than {self._max_tags} tags"
            return b""
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def skip_id3_tags(file: SeekableFile) -> SeekableFile:
    """Return the file without the ID3v2 tags at its beginning, or the file itself, at the first byte of either.

    Any format may have them there, and no decoder needs them. Raises InvalidAudio for too many of them.
    Source: https://id3.org/id3v2.4.0-structure
    """
    offset = 0
    for _ in range(MAX_ID3_TAGS + 1):
        file.seek(offset)
        header = file.read(10)
        if len(header) < 10 or header[:3] != b"ID3" or 0xFF in header[3:5] or max(header[6:]) > 0x7F:
            return RestOfFile(file, offset) if offset else _at_beginning(file)
        n_bytes = 0
        for byte in header[6:]:  # Each holds 7 bits.
            n_bytes = n_bytes << 7 | byte
        offset += n_bytes + (20 if header[5] & 0x10 else 10)  # with a footer or without
    raise InvalidAudio(f"the file begins with more than {MAX_ID3_TAGS} ID3 tags; allowed: at most {MAX_ID3_TAGS}")


def _at_beginning(file: SeekableFile) -> SeekableFile:
    file.seek(0)
    return file


def _check_flac_tags(file: SeekableFile) -> None:
    """Raise InvalidAudio if a flac file begins here that has more than MAX_TAGS tags.

    FFmpeg reads a whole metadata block, up to 16 MB, before it takes the tags out of it, so that no limit on its
    reading can end the work on them. Layout of the blocks: RFC 9639, section 8.
    """
    if file.read(4) != b"fLaC":
        return
    n_tags = 0
    for _ in range(MAX_FLAC_BLOCKS):
        header = file.read(4)
        n_bytes = int.from_bytes(header[1:], "big")
        end = file.tell() + n_bytes
        if header[:1] in _TAG_BLOCKS:
            file.seek(int.from_bytes(file.read(4), "little"), io.SEEK_CUR)  # past the encoder's name
            n_tags += min(int.from_bytes(file.read(4), "little"), n_bytes // MIN_TAG_BYTES)
        if n_tags > MAX_TAGS:
            raise InvalidAudio(f"the flac file has more than {MAX_TAGS} tags; allowed: at most {MAX_TAGS}")
        if len(header) < 4 or header[0] & 0x80:  # the last block
            return
        file.seek(end)
    raise InvalidAudio(
        f"the flac file has more than {MAX_FLAC_BLOCKS} metadata blocks; allowed: at most {MAX_FLAC_BLOCKS}"
    )
