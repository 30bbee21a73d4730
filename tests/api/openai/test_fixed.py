"""Values that ask for what is done anyway, and values in every spelling, on OpenAI's paths."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.errors import InvalidParameter, UnsupportedValue
from hf_asr_endpoint.types import TASKS, Task, TranscriptionOptions
from tests.api.openai.test_parameters import parse

DONE_ANYWAY = [
    *(("diarize", "false"), ("diarization", "False"), ("enable_diarization", "0"), ("speaker_labels", "no")),
    *(("known_speaker_names", ""), ("known_speaker_names[]", ""), ("known_speaker_references", "[]")),
    *(("num_speakers", "null"), ("max_speakers", "1"), ("vad_filter", "true"), ("vad_filter", "ON")),
    *(("stream", "false"), ("stream", "False"), ("stream", "0"), ("stream", "off"), ("word_timestamps", "false")),
    *(("logprobs", "false"), ("top_logprobs", "0"), ("include", "[]"), ("detect_language", "false")),
    *(("temperature", '"0.0"'), ("temperature", "0.0"), ("temperature", "null"), ("seed", "0"), ("seed", "")),
    *(("repetition_penalty", "1.0"), ("length_penalty", "1"), ("frequency_penalty", "0.0"), ("top_p", "1.0")),
    *(("top_k", "-1"), ("min_p", "0"), ("n", "1"), ("use_beam_search", "false"), ("beam_size", "1")),
    *(("include_stop_str_in_output", "False"), ("stream_include_usage", "false"), ("max_completion_tokens", "")),
    *(("stream_continuous_usage_stats", "false"), ("condition_on_previous_text", "False"), ("batch_size", "16")),
    *(("compression_ratio_threshold", "2.4"), ("logprob_threshold", "-1.0"), ("no_speech_threshold", "0.6")),
    *(("temperature_inc", "0.2"), ("suppress_tokens", "-1"), ("suppress_tokens", "[-1]"), ("chunk_length", "30")),
    *(("user", "someone"), ("metadata", '{"a": 1}'), ("metadata[a]", "1"), ("store", "false"), ("webhook", "")),
    *(("chunking_strategy", "auto"), ("chunking_strategy", "null"), ("hotwords", ""), ("prompt", "null")),
    *(("language", "auto"), ("languages", "auto"), ("to_language", ""), ("file_url", "null"), ("file_id", "")),
]


@pytest.mark.parametrize(("name", "text"), DONE_ANYWAY)
@pytest.mark.parametrize("task", TASKS)
def test_a_value_that_asks_for_what_is_done_anyway_changes_nothing(name: str, text: str, task: Task) -> None:
    assert parse((name, text), task=task).options == TranscriptionOptions(task=task)


@pytest.mark.parametrize(
    ("task", "name", "text"),
    [
        *(("transcribe", "task", "transcribe"), ("transcribe", "translate", "false")),
        *(("translate", "task", '"Translate"'), ("translate", "translate", "True")),
        *(("translate", "to_language", "en"), ("translate", "to_language", "English")),
    ],
)
def test_the_task_of_the_path_may_be_given(task: Task, name: str, text: str) -> None:
    assert parse((name, text), task=task) == parse(task=task)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("diarize", "true", "diarize is 'true', but speakers are not distinguished; allowed: false"),
        ("diarize", "maybe", "diarize is 'maybe', but speakers are not distinguished; allowed: false"),
        ("known_speaker_names[]", "Ann", "known_speaker_names is not supported here: speakers are not"),
        ("num_speakers", "2", "num_speakers is '2', but speakers"),
        ("vad_filter", "false", "vad_filter is 'false', but silence is always skipped; allowed: true"),
        ("beam_size", "5", "beam_size is '5', but the number of beams is called num_beams here"),
        ("top_p", "0.9", "allowed: 1"),
        ("n", "1_0", "allowed: 1"),
        ("condition_on_previous_text", "true", "allowed: false"),
        ("no_speech_threshold", "0.7", "allowed: 0.6"),
        ("batch_size", "-1", "allowed: a whole number of 0 or more"),
        ("to_language", "de", "/v1/audio/translations translates into English"),
        ("task", "translate", "this path transcribes; /v1/audio/translations translates; allowed: transcribe"),
        ("file_url", "https://example.com/a.wav", "URLs are not opened; send the file"),
        ("webhook", "https://example.com", "POST /v1/jobs takes a webhook"),
        ("vllm_xargs", '{"a": 1}', "vllm_xargs is not supported here"),
        ("top_logprobs", "5", "other candidates"),
        ("store", "true", "only jobs are stored"),
        ("diarize", "x" * 60_000, "allowed: false"),
    ],
)
def test_other_values_of_such_parameters_are_refused_by_name(name: str, text: str, message: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse((name, text))
    assert message in str(refused.value)
    assert len(str(refused.value)) < 500
    assert refused.value.parameter == name.removesuffix("[]")


def test_a_translation_into_another_language_is_refused() -> None:
    with pytest.raises(UnsupportedValue, match="Whisper translates into English only; allowed: en"):
        parse(("to_language", "de"), task="translate")


@pytest.mark.parametrize(
    ("text", "is_stream"), [("true", True), ("1", True), ("Yes", True), ("ON", True), ("0", False), ("nO", False)]
)
def test_switches_in_any_spelling(text: str, is_stream: bool) -> None:
    assert parse(("stream", text)).is_stream is is_stream


def test_a_repetition_penalty_reaches_the_options() -> None:
    assert parse(("repetition_penalty", "1.3")).options.decoding.repetition_penalty == 1.3
