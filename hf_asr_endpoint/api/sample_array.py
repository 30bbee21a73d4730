"""Samples as a JSON array of numbers, parsed while it arrives, in time and memory linear in its length.

Knows the array alone: `[…]`, or `[[…], …]` with one list for each channel. The object around it is `json_body`'s.
"""

from __future__ import annotations

import json
import re

import numpy as np
import numpy.typing as npt

from hf_asr_endpoint.api.byte_stream import ByteStream, Steps
from hf_asr_endpoint.api.encoded_audio import MAX_CHANNELS
from hf_asr_endpoint.api.spool import SPOOL_BYTES, LimitedFile
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.messages import quote

ALLOWED_SAMPLES = "numbers from -1 to 1 (divide 16-bit samples by 32768)"

MAX_AMPLITUDE = 8.0
"""Loud mixes go beyond 1; samples left as integers, far beyond."""

MAX_NUMBER_BYTES = 1_000
"""Of one number as text."""

_BLANK = b" \t\r\n"
_NUMERIC = b"0123456789+-.eE," + _BLANK
_NOT_NUMERIC = re.compile(rb"[^-+0-9.eE, \t\r\n]")

Samples = npt.NDArray[np.float32]


def check_amplitude(values: npt.NDArray[np.floating] | npt.NDArray[np.integer], *, name: str) -> None:
    """Raise InvalidParameter if a value is beyond MAX_AMPLITUDE. Not a number passes: the decoder refuses it."""
    if values.size and (peak := max(float(values.max()), -float(values.min()))) > MAX_AMPLITUDE:
        raise InvalidParameter(f"{name} has values up to {peak:g}; allowed: {ALLOWED_SAMPLES}")


class SampleArrayParser:
    """Parses the array at the position of a stream into a file of float32.

    name: of the array, for messages. Every step may raise InvalidParameter, BodyTooLarge and UnexpectedEnd.
    """

    def __init__(self, stream: ByteStream, file: LimitedFile, *, name: str) -> None:
        self._stream = stream
        self._file = file
        self._name = name

    def parse(self) -> Steps[Samples]:
        """Return the samples, shape = (n_samples,) or (n_channels, n_samples), once the array has ended.

        A large array is mapped from the file, which may be closed while the array is in use.
        """
        self._stream.position += 1  # "["
        if (yield from self._peek()) != b"[":
            n_samples = yield from self._row()
            return self._samples().reshape(n_samples)
        lengths = [(yield from self._channel())]
        while (separator := (yield from self._take())) == b",":
            if len(lengths) == MAX_CHANNELS:
                raise self._refuse(f"has more than {MAX_CHANNELS} channels", f"at most {MAX_CHANNELS} channels")
            lengths.append((yield from self._channel()))
        if separator != b"]":
            raise self._refuse(f"has {separator!r} after a channel", "a list of numbers for each channel")
        if len(set(lengths)) > 1:
            raise self._refuse(
                f"is ragged: its channels have {min(lengths)} to {max(lengths)} samples",
                "channels of the same length",
            )
        return self._samples().reshape(len(lengths), lengths[0])

    def _channel(self) -> Steps[int]:
        found = yield from self._take()
        if found != b"[":
            raise self._refuse(f"has {found!r} beside a channel", "a list of numbers for each channel")
        return (yield from self._row())

    def _row(self) -> Steps[int]:
        """Parse numbers up to the closing bracket, and consume it. Return how many there are."""
        stream = self._stream
        n_samples = 0
        is_first, is_last = True, False
        while not is_last:
            begin = stream.position
            end = stream.data.find(b"]", begin)
            is_last = end >= 0
            if not is_last and (end := stream.data.rfind(b",", begin)) < 0:
                yield from self._longer_number()
                continue
            values = self._numbers(stream.data[begin:end])
            if not values.size and not (is_first and is_last):
                raise self._refuse("is not a list of numbers (a number is missing)", ALLOWED_SAMPLES)
            self._file.write(values.astype(np.float32).tobytes())
            n_samples += len(values)
            stream.position = end + 1
            is_first = False
        return n_samples

    def _longer_number(self) -> Steps[None]:
        """Wait for the end of the number that all bytes so far belong to."""
        stream = self._stream
        number = stream.data[stream.position :].lstrip(_BLANK)
        if len(number) > MAX_NUMBER_BYTES:
            self._check_numeric(number)
            raise self._refuse(f"has a number of more than {MAX_NUMBER_BYTES} characters", "shorter numbers")
        stream.position = len(stream.data) - len(number)
        yield from stream.more()

    def _numbers(self, text: bytes) -> npt.NDArray[np.float64]:
        self._check_numeric(text)
        try:
            # The JSON parser knows its own grammar best, and is as fast as numpy's.
            values = np.array(json.loads(f"[{text.decode('ascii')}]"), dtype=np.float64)
        except json.JSONDecodeError as exc:  # Its position is in this piece, which means nothing to the client.
            raise self._refuse(f"is not a list of numbers ({exc.msg})", ALLOWED_SAMPLES) from exc
        except OverflowError as exc:
            raise self._refuse(f"is not a list of numbers ({exc})", ALLOWED_SAMPLES) from exc
        check_amplitude(values, name=self._name)
        return values

    def _check_numeric(self, text: bytes) -> None:
        if text.translate(None, _NUMERIC) and (found := _NOT_NUMERIC.search(text)):
            shown = text[found.start() : found.start() + 20].decode("utf-8", "replace")
            raise self._refuse(f"holds {quote(shown)}, which is not a number", ALLOWED_SAMPLES)

    def _peek(self) -> Steps[bytes]:
        """Skip blanks and return the next byte without consuming it."""
        stream = self._stream
        while True:
            rest = stream.data[stream.position :].lstrip(_BLANK)
            stream.position = len(stream.data) - len(rest)
            if rest:
                return rest[:1]
            yield from stream.more()

    def _take(self) -> Steps[bytes]:
        """Skip blanks and return the next byte."""
        found = yield from self._peek()
        self._stream.position += 1
        return found

    def _samples(self) -> Samples:
        file = self._file.rewind()
        if self._file.n_bytes <= SPOOL_BYTES:
            return np.frombuffer(file.read(), dtype=np.float32)
        file.flush()
        return np.asarray(np.memmap(file, dtype=np.float32, mode="r"))

    def _refuse(self, what: str, allowed: str) -> InvalidParameter:
        return InvalidParameter(f"{self._name} {what}; allowed: {allowed}")
