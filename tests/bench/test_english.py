from __future__ import annotations

import pytest

from bench.english import looks_english


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("The accident took place in a mountainous terrain.", True, id="English"),
        pytest.param("He was seen in Lisbon with a friend of Pedro de Sousa.", True, id="English, foreign name"),
        pytest.param("Die Tiere waren schon lange tot, als man sie fand.", False, id="German"),
        pytest.param("L'accident a eu lieu en terrain montagneux.", False, id="French"),
        pytest.param("Una gran cantidad de gente se reunió en la plaza.", False, id="Spanish"),
        pytest.param("A grande pirâmide é uma das muitas estruturas.", False, id="Portuguese"),
        pytest.param("The accident a eu lieu en terrain montagneux et il est grave.", False, id="mostly French"),
        pytest.param("", False, id="empty"),
    ],
)
def test_english_is_distinguished_from_other_languages(text: str, expected: bool) -> None:
    assert looks_english(text) is expected
