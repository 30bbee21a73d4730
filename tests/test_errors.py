"""Errors go from one process to another as they are."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from hf_asr_endpoint.errors import (
    AsrError,
    BodyTooLarge,
    InvalidParameter,
    MethodNotAllowed,
    Overloaded,
    UnsupportedValue,
)


def kinds(base: type[AsrError] = AsrError) -> Iterator[type[AsrError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


def make(kind: type[AsrError]) -> AsrError:
    if issubclass(kind, InvalidParameter):
        return kind("wrong", parameter="language")
    if issubclass(kind, Overloaded):
        return kind("too much", retry_after_s=3)
    if issubclass(kind, BodyTooLarge):
        return kind("too large", n_bytes=5)
    if issubclass(kind, MethodNotAllowed):
        return kind("no", allowed="GET")
    return kind("a sentence")


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=lambda kind: kind.__name__))
def test_each_error_is_the_same_after_pickling(kind: type[AsrError]) -> None:
    error = make(kind)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_the_parameter_goes_along() -> None:
    copy = pickle.loads(pickle.dumps(UnsupportedValue("wrong", parameter="language")))
    assert copy.parameter == "language"
