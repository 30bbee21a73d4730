"""Arguments as pipelines take them, values in every spelling, and values that ask for what is done anyway."""

from __future__ import annotations

from typing import Any

import pytest

from hf_asr_endpoint.api.huggingface.parameters import parse_parameters, parse_query
from hf_asr_endpoint.api.huggingface.request import parse_document
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import TranscriptionOptions


def test_examples_of_whispers_model_cards_are_accepted() -> None:
    """huggingface.co/openai/whisper-large-v3, but for `max_new_tokens`, which is beyond what its decoder holds."""
    parameters = {
        "return_timestamps": True,
        "chunk_length_s": 30,
        "batch_size": 16,
        "generate_kwargs": {
            "max_new_tokens": 440,
            "num_beams": 1,
            "condition_on_prev_tokens": False,
            "compression_ratio_threshold": 1.35,
            "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
            "logprob_threshold": -1.0,
            "no_speech_threshold": 0.6,
            "return_timestamps": True,
        },
    }
    parsed = parse_parameters(parameters)
    assert parsed.return_timestamps is True
    assert parsed.options.decoding == DecodingOptions.from_flat(
        max_new_tokens=440, compression_ratio_threshold=1.35
    )


@pytest.mark.parametrize(
    ("parameters", "changes"),
    [
        pytest.param({"temperature": "0.0"}, {"temperatures": (0.0,)}, id="a number in a text"),
        pytest.param({"temperature": '"0.5"'}, {"temperatures": (0.5,)}, id="a number in quotes"),
        pytest.param({"temperature": [0.5]}, {"temperatures": (0.5,)}, id="a list of one"),
        pytest.param({"temperature": " 0.5 "}, {"temperatures": (0.5,)}, id="blanks"),
        pytest.param({"num_beams": "2"}, {"num_beams": 2}, id="a whole number in a text"),
        pytest.param({"num_beams": 2.0}, {"num_beams": 2}, id="a whole number with a point"),
        pytest.param({"do_sample": "False"}, {"temperatures": (0.0,)}, id="Python's False"),
        pytest.param({"do_sample": "no"}, {"temperatures": (0.0,)}, id="no"),
        pytest.param({"do_sample": "off"}, {"temperatures": (0.0,)}, id="off"),
        pytest.param({"do_sample": 0}, {"temperatures": (0.0,)}, id="0"),
        pytest.param({"suppress_tokens": ["5", 6]}, {"suppress_tokens": (5, 6)}, id="numbers in texts"),
        pytest.param({"max_new_tokens": "null", "temperature": "None", "top_k": ""}, {}, id="nulls"),
    ],
)
def test_values_in_any_spelling_at_either_level_and_in_a_query_string(
    parameters: dict[str, Any], changes: dict[str, Any]
) -> None:
    options = TranscriptionOptions(decoding=DecodingOptions.from_flat(**changes))
    assert parse_parameters(parameters).options == options
    assert parse_parameters({"generate_kwargs": parameters}).options == options
    if all(isinstance(value, str) for value in parameters.values()):
        assert parse_query(list(parameters.items())).options == options


@pytest.mark.parametrize(("value", "seconds"), [(5, 5), ("5", 5), (0, 30), (None, 30), ("15.5", 15.5), (30.0, 30)])
def test_chunk_length_limits_what_is_decoded_at_once(value: object, seconds: float) -> None:
    assert parse_parameters({"chunk_length_s": value}).options.chunk_length_s == seconds


@pytest.mark.parametrize("value", [0.5, 31, -1, "long"])
def test_a_chunk_length_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(InvalidParameter, match=r"chunk_length_s is .*from 1 to 30"):
        parse_parameters({"chunk_length_s": value})


DONE_ANYWAY = [
    {"stride_length_s": 0},
    {"stride_length_s": [0, 0]},
    {"stride_length_s": None},
    {"batch_size": 8},
    {"batch_size": "24"},
    {"num_workers": 4},
    {"ignore_warning": True},
    {"return_language": False},
    {"num_return_sequences": 1},
    {"forced_decoder_ids": None},
    {"no_repeat_ngram_size": 0},
    {"return_dict_in_generate": "false"},
    {"prompt_condition_type": "first-segment"},
    {"diarize": False},
    {"vad_filter": True},
    {"beam_size": 1},
    {"stream": False},
]
NOT_DONE = [
    ({"stride_length_s": 5}, "stride_length_s is 5, but chunks are cut at silence and do not overlap; allowed: 0"),
    ({"stride_length_s": [4, 2]}, "stride_length_s is [4, 2], but"),
    ({"batch_size": "many"}, "batch_size is 'many', but"),
    ({"batch_size": 1.5}, "batch_size is 1.5, but"),
    ({"return_language": True}, "return_language is True, but"),
    ({"num_return_sequences": 2}, "but one text is returned; allowed: 1"),
    ({"forced_decoder_ids": [[1, 50259]]}, "forced_decoder_ids is not supported here: use language and task"),
    ({"prompt_condition_type": "all-segments"}, "prompt_condition_type is 'all-segments', but"),
    ({"diarize": True}, "diarize is True, but speakers are not distinguished; allowed: false"),
    ({"vad_filter": False}, "but silence is always skipped; allowed: true"),
]


@pytest.mark.parametrize("parameters", DONE_ANYWAY)
def test_a_value_that_asks_for_what_is_done_anyway_changes_nothing(parameters: dict[str, Any]) -> None:
    assert parse_parameters(parameters).options == TranscriptionOptions()
    assert parse_parameters({"generate_kwargs": parameters}).options == TranscriptionOptions()


@pytest.mark.parametrize(("parameters", "message"), NOT_DONE)
def test_another_value_is_refused_by_name(parameters: dict[str, Any], message: str) -> None:
    for given in (parameters, {"generation_parameters": parameters}):
        with pytest.raises(InvalidParameter) as refused:
            parse_parameters(given)
        assert message in str(refused.value)


@pytest.mark.parametrize(
    "options", [None, {}, {"wait_for_model": True, "use_cache": False}, {"use_cache": "true"}]
)
def test_options_of_the_inference_api_are_accepted(options: object) -> None:
    request = parse_document({"inputs": b"RIFF", "options": options}, max_audio_bytes=100)
    assert request.parameters == parse_parameters(None)
