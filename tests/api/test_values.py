from __future__ import annotations

import pytest

from hf_asr_endpoint.api.values import is_null, number_of, plain, switch_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" a ", "a"),
        ('"a"', "a"),
        (' " a " ', "a"),
        ('"', '"'),
        ('"a', '"a'),
        ('"a" "b"', '"a" "b"'),
        ("'a'", "'a'"),
        ('""', ""),
        ('"\\u0041"', "A"),
    ],
)
def test_plain_texts(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    "value", [None, "", " ", "null", "None", "NULL", "undefined", '"null"', '""', [], {}, "[]", "{}"]
)
def test_nulls(value: object) -> None:
    assert is_null(value)


@pytest.mark.parametrize("value", [0, False, "0", "false", [None], {"a": 1}, "nothing", "null" * 1000, 0.0])
def test_values_that_are_not_null(value: object) -> None:
    assert not is_null(value)


@pytest.mark.parametrize("value", [True, "true", "True", "TRUE", "1", 1, "yes", "on", '"true"', " t "])
def test_true(value: object) -> None:
    assert switch_of(value) is True


@pytest.mark.parametrize("value", [False, "false", "False", "0", 0, "no", "off", '"false"', "N"])
def test_false(value: object) -> None:
    assert switch_of(value) is False


@pytest.mark.parametrize("value", ["2", 2, None, "", "truth", [], {}, ["true"], "true" * 10_000, 10**400])
def test_other_values_are_no_switch(value: object) -> None:
    assert switch_of(value) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1),
        (0.5, 0.5),
        ("1", 1),
        ("0.0", 0),
        ('"0.0"', 0),
        (" -1.5e2 ", -150),
        (".5", 0.5),
        ("+2.", 2),
        (1e-7, 1e-7),
    ],
)
def test_numbers(value: object, number: float) -> None:
    assert number_of(value) == number


@pytest.mark.parametrize(
    "value", [True, "1_0", "1,5", "nan", "inf", float("inf"), "", None, "٣", [1], "1" * 1000, 10**400]
)
def test_other_values_are_no_number(value: object) -> None:
    assert number_of(value) is None
