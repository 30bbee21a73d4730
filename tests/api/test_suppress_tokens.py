from __future__ import annotations

import pytest

from hf_asr_endpoint.api.suppress_tokens import parse_suppress_tokens
from hf_asr_endpoint.errors import InvalidParameter


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("-1", None),
        (" -1 ", None),
        ("-1,-1", None),
        ("", ()),
        ("  ", ()),
        ("0", (0,)),
        ("50257, 11,13", (50257, 11, 13)),
        ("7,7", (7,)),
        ("-1,50257", (-1, 50257)),
        ("50257,-1", (50257, -1)),
    ],
)
def test_ids_an_empty_list_and_the_models_own_list(text: str, tokens: tuple[int, ...] | None) -> None:
    assert parse_suppress_tokens(text) == tokens


@pytest.mark.parametrize("text", ["-2", "a", "1,,2", "1,", "1 2", "[1]", "1.0", "1" * 5_000, "٣"])
def test_text_that_is_not_a_list_of_ids_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="allowed: token ids separated by commas") as refused:
        parse_suppress_tokens(text)
    assert refused.value.parameter == "suppress_tokens"
    assert len(str(refused.value)) < 300
