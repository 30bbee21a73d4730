from __future__ import annotations

import pytest

from hf_asr_endpoint import errors
from hf_asr_endpoint.api.errors import headers_of, status_of
from hf_asr_endpoint.api.openai.errors import STATUS
from hf_asr_endpoint.errors import AsrError, BodyTooLarge, Overloaded

STATUSES = {
    "AsrError": 500,
    "InvalidRequest": 400,
    "InvalidParameter": 422,
    "UnknownParameter": 422,
    "MissingParameter": 422,
    "UnsupportedParameter": 422,
    "UnsupportedValue": 422,
    "UnknownModel": 404,
    "UnknownJob": 404,
    "BodyTooLarge": 413,
    "UnsupportedEncoding": 415,
    "UploadTimeout": 408,
    "InvalidAudio": 400,
    "UnsupportedAudio": 415,
    "AudioTooLong": 413,
    "Overloaded": 429,
    "StorageFailed": 507,
    "JobsUnavailable": 503,
    "EngineError": 500,
    "EngineUnavailable": 503,
    "ModelUnavailable": 500,
}


OPENAI_STATUSES = dict.fromkeys(("UnsupportedAudio", *(name for name in STATUSES if STATUSES[name] == 422)), 400)


def make_error(name: str) -> AsrError:
    kind: type[AsrError] = getattr(errors, name)
    if kind is Overloaded:
        return Overloaded("full", retry_after_s=3)
    return BodyTooLarge("large", n_bytes=9) if kind is BodyTooLarge else kind("wrong")


def test_every_error_of_the_tree_is_listed() -> None:
    tree = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, AsrError)
    }
    assert tree == set(STATUSES)


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_each_error_has_its_status(name: str, status: int) -> None:
    assert status_of(make_error(name)) == status


@pytest.mark.parametrize(("name", "status"), {**STATUSES, **OPENAI_STATUSES}.items())
def test_openai_has_its_own_status_for_some(name: str, status: int) -> None:
    assert status_of(make_error(name), own=STATUS) == status


def test_overload_says_when_to_try_again() -> None:
    assert headers_of(make_error("Overloaded")) == {"Retry-After": "3"}
    assert headers_of(make_error("InvalidAudio")) == {}


def test_an_unknown_encoding_says_which_ones_there_are() -> None:
    assert headers_of(make_error("UnsupportedEncoding")) == {"Accept-Encoding": "gzip, deflate, identity"}
