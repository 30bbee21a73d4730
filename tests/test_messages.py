from __future__ import annotations

import pytest

from hf_asr_endpoint.messages import MAX_SHOWN_CHARACTERS, hide_secrets, shorten, show_value


@pytest.mark.parametrize(
    "value", ["a", "it's", "", "\0\n", "\ud800", 5, 0.5, None, True, [1, "a"], {"a": []}], ids=repr
)
def test_short_values_are_shown_as_python_writes_them(value: object) -> None:
    assert show_value(value) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        "\0" * 10**6,
        10**4000,
        [0] * 10**6,
        {str(i): i for i in range(1000)},
        [["x" * 10**6] * 99] * 99,
    ],
    ids=["text", "escapes", "number", "list", "object", "nested"],
)
def test_long_values_are_shortened(value: object) -> None:
    assert len(show_value(value)) <= MAX_SHOWN_CHARACTERS


def test_shortened_text_ends_in_an_ellipsis() -> None:
    assert shorten("abc", max_characters=3) == "abc"
    assert shorten("abcd", max_characters=3) == "ab…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:secret@bucket/a@b", "s3://key:***@bucket/a@b"),
        ("s3://key:se/cret@bucket", "s3://key:***@bucket"),
        ("abfss://:secret@account.blob.core.windows.net/c", "abfss://:***@account.blob.core.windows.net/c"),
        (
            "abfs://c@account/x?tenant_id=1&client_secret=s&x=2",
            "abfs://c@account/x?tenant_id=1&client_secret=***&x=2",
        ),
        ("hdfs://namenode:8020/a@b", "hdfs://namenode:8020/a@b"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
    ],
)
def test_passwords_in_uris_are_hidden(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown
