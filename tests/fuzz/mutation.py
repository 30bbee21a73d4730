"""Mutations of bytes. Which ones, and where, is drawn from a `random.Random`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

N_HEADER_BYTES = 512  # in which extreme numbers are written: containers have their lengths and rates there
MAX_MUTATIONS = 8
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF)

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return the bytes after one or more mutations; most often few. others: what may be spliced in."""
    for _ in range(min(1 + int(rng.expovariate(0.5)), MAX_MUTATIONS)):
        data = rng.choice(MUTATIONS)(rng, data, others)
    return data


def _run(rng: random.Random, data: bytes) -> tuple[int, int]:
    """Return the beginning and the end of a run of bytes, mostly a short one."""
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + _length(rng, len(data)))


def _length(rng: random.Random, n_bytes: int) -> int:
    return rng.randint(1, rng.choice((4, 64, max(4, n_bytes // 2))))


def _flip_bits(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _flip in range(rng.choice((1, 3, 30)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _run(rng, data)
    n_bytes = end - begin
    filling = rng.choice((bytes(n_bytes), b"\xff" * n_bytes, rng.randbytes(n_bytes)))
    return data[:begin] + filling + data[end:]


def _truncate(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _insert(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin = rng.randrange(len(data) + 1)
    return data[:begin] + rng.randbytes(_length(rng, 1_000)) + data[begin:]


def _duplicate(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _run(rng, data)
    return data[:end] + data[begin:]


def _delete(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    begin, end = _run(rng, data)
    return data[:begin] + data[end:]


def _swap(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    first, second, third, fourth = sorted(rng.randrange(len(data) + 1) for _ in range(4))
    return data[:first] + data[third:fourth] + data[second:third] + data[first:second] + data[fourth:]


def _set_number(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    n_bytes, is_little = rng.choice((2, 4)), rng.random() < 0.5
    begin = rng.randrange(min(len(data), N_HEADER_BYTES) + 1)
    extreme = rng.choice(EXTREMES) & (2**32 - 1 if n_bytes == 4 else 2**16 - 1)
    number = extreme.to_bytes(n_bytes, "little" if is_little else "big")
    return data[:begin] + number + data[begin + n_bytes :]


def _splice(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    if not others:
        return data
    other = rng.choice(others)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip_bits, _overwrite, _truncate, _insert, _duplicate, _delete, _swap, _set_number, _splice),
    *(_flip_bits, _set_number),  # Twice as often: most files are still of their format after these two.
)
