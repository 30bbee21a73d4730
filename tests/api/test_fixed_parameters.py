from __future__ import annotations

import re
from pathlib import Path

import pytest

from hf_asr_endpoint.api.deepinfra.schema import FIELDS
from hf_asr_endpoint.api.deepinfra.schema import FIXED as DEEPINFRA
from hf_asr_endpoint.api.fixed_parameters import SHARED, FixedParameter, anything, count, nothing, only
from hf_asr_endpoint.api.huggingface.fixed import FIXED as HUGGING_FACE
from hf_asr_endpoint.api.huggingface.schema import GenerationParameters, Parameters
from hf_asr_endpoint.api.openai.fixed import fixed_parameters
from hf_asr_endpoint.api.openai.schema import PARAMETERS
from hf_asr_endpoint.errors import InvalidParameter, UnsupportedParameter, UnsupportedValue

PAGE = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()

SWITCH, NUMBER, TEXT = only(False, reason="no"), only(0, 1, reason="no"), only("json", reason="no")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *((SWITCH, False), (SWITCH, "False"), (SWITCH, "0"), (SWITCH, None), (SWITCH, "null"), (SWITCH, [])),
        *((NUMBER, 1), (NUMBER, "1.0"), (NUMBER, 0.0), (NUMBER, "[0, 1]"), (NUMBER, [0, 0])),
        *((TEXT, "json"), (TEXT, '"JSON"'), (nothing("no"), ""), (nothing("no"), {}), (anything(), {"a": [1]})),
        *((count("no"), 3), (count("no"), "3"), (count("no"), "0"), (count("no"), 3.0)),
    ],
)
def test_what_asks_for_what_is_done_anyway_passes(parameter: FixedParameter, value: object) -> None:
    parameter.check("name", value)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *((SWITCH, True), (SWITCH, "true"), (SWITCH, "maybe"), (SWITCH, 2), (SWITCH, {"a": 1})),
        *((NUMBER, 2), (NUMBER, True), (NUMBER, "one"), (NUMBER, "[0, 2]"), (NUMBER, "[" * 50_000)),
        *((TEXT, "text"), (TEXT, 1), (count("no"), -1), (count("no"), 1.5), (count("no"), "x")),
    ],
)
def test_another_value_is_refused_with_the_reason(parameter: FixedParameter, value: object) -> None:
    with pytest.raises(UnsupportedValue, match=r"^name is .*, but no; allowed: ") as refused:
        parameter.check("name", value)
    assert refused.value.parameter == "name"


def test_a_parameter_without_any_value_is_refused_as_such() -> None:
    with pytest.raises(UnsupportedParameter, match="name is not supported here: why; allowed: null"):
        nothing("why").check("name", "x")


@pytest.mark.parametrize(
    ("fixed", "own"),
    [
        (fixed_parameters("transcribe"), set(PARAMETERS)),
        (fixed_parameters("translate"), set(PARAMETERS)),
        (DEEPINFRA, set(FIELDS)),
        (HUGGING_FACE, {*GenerationParameters.model_fields, *Parameters.model_fields}),
    ],
    ids=["transcriptions", "translations", "DeepInfra", "Hugging Face"],
)
def test_no_dialect_fixes_a_parameter_of_its_own(fixed: dict[str, FixedParameter], own: set[str]) -> None:
    assert not fixed.keys() & own


@pytest.mark.parametrize("fixed", [fixed_parameters("transcribe"), DEEPINFRA, HUGGING_FACE])
def test_every_fixed_parameter_refuses_some_value_or_asks_nothing_of_the_result(
    fixed: dict[str, FixedParameter],
) -> None:
    for name, parameter in fixed.items():
        if parameter.allowed or parameter.reason:
            with pytest.raises(InvalidParameter, match=name):
                parameter.check(name, "something else")


@pytest.mark.parametrize("name", SHARED)
def test_each_shared_one_is_documented(name: str) -> None:
    assert re.search(rf"^\|.*`{name}`.*\|", PAGE, re.MULTILINE)
