from __future__ import annotations

import pytest

from hf_asr_endpoint.api.openai.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.decoding_options import FALLBACK_TEMPERATURES
from hf_asr_endpoint.errors import InvalidParameter, UnknownModel, UnsupportedValue
from hf_asr_endpoint.subtitles.limits import SubtitleShape
from hf_asr_endpoint.types import TASKS, Task, TranscriptionOptions, VoiceActivityOptions

MODELS = ServedModels([ServedModel(names=("openai/whisper-base", "whisper-base"))])


def parse(*texts: tuple[str, str], task: Task = "transcribe") -> ParsedParameters:
    return parse_parameters([("model", "whisper-1"), *texts], task=task, models=MODELS)


def test_defaults() -> None:
    parsed = parse()
    assert parsed == ParsedParameters(
        options=TranscriptionOptions(),
        response_format="json",
        shape=SubtitleShape(),
        is_stream=False,
        shows_segments=True,
        shows_words=False,
        shows_logprobs=False,
    )
    assert parse(task="translate").options == TranscriptionOptions(task="translate")


@pytest.mark.parametrize("texts", [[], [("model", "")], [("model", "null")], [("model", '"whisper-1"')]])
def test_without_a_model_the_served_one_is_meant(texts: list[tuple[str, str]]) -> None:
    assert parse_parameters(texts, task="transcribe", models=MODELS) == parse()


def test_another_model_is_refused() -> None:
    with pytest.raises(UnknownModel):
        parse_parameters([("model", "whisper-2")], task="transcribe", models=MODELS)


@pytest.mark.parametrize("language", ["de", "German", "DE", "de-AT", "deu", "ger", "Deutsch", "<|de|>", '"de"'])
def test_a_language_by_code_or_name(language: str) -> None:
    assert parse(("language", language)).options.language == "de"
    assert parse(("language", language), task="translate").options.language == "de"


@pytest.mark.parametrize(
    ("text", "temperatures"),
    [("0", FALLBACK_TEMPERATURES), ("0.0", FALLBACK_TEMPERATURES), ("0.3", (0.3,)), ("1", (1.0,))],
)
def test_temperature_0_is_the_fallback_ladder_and_another_is_the_only_one(
    text: str, temperatures: tuple[float, ...]
) -> None:
    assert parse(("temperature", text)).options.decoding.temperatures == temperatures


def test_beams_search_and_do_not_sample() -> None:
    assert parse(("num_beams", "4")).options.decoding.beams.num_beams == 4
    with pytest.raises(InvalidParameter, match=r"num_beams is 4 and temperature is 0\.5, which samples"):
        parse(("num_beams", "4"), ("temperature", "0.5"))
    with pytest.raises(InvalidParameter, match="num_beams is '0'; allowed: a whole number from 1"):
        parse(("num_beams", "0"))


def test_prompt_seed_and_hotwords_reach_the_options() -> None:
    options = parse(("prompt", "Dr. Müller"), ("seed", "7"), ("hotwords", "Kyiv, Lviv")).options
    assert (options.prompt, options.decoding.seed, options.hotwords) == ("Dr. Müller", 7, "Kyiv, Lviv")
    assert parse(("keywords[]", "Kyiv"), ("keywords[]", "Lviv")).options.hotwords == "Kyiv, Lviv"


@pytest.mark.parametrize(
    ("granularities", "segments", "words"),
    [("segment", True, False), ("word", False, True), ("word,segment", True, True)],
)
def test_timestamp_granularities_decide_what_the_response_shows(
    granularities: str, segments: bool, words: bool
) -> None:
    parsed = parse(("timestamp_granularities[]", granularities), ("response_format", "verbose_json"))
    assert (parsed.shows_segments, parsed.shows_words) == (segments, words)
    assert parsed.options.word_timestamps is words


@pytest.mark.parametrize("response_format", ["srt", "vtt"])
def test_subtitles_prefer_words(response_format: str) -> None:
    assert parse(("response_format", response_format)).options.prefers_words


@pytest.mark.parametrize(("text", "is_stream"), [("true", True), ("false", False), ("True", True)])
def test_stream(text: str, is_stream: bool) -> None:
    assert parse(("stream", text)).is_stream is is_stream


def test_include_logprobs() -> None:
    parsed = parse(("include[]", "logprobs"))
    assert parsed.shows_logprobs
    assert parsed.options.token_logprobs


def test_chunking_strategy_sets_voice_activity_options() -> None:
    assert parse(("chunking_strategy", "auto")).options.voice_activity == VoiceActivityOptions()
    assert parse(("chunking_strategy[type]", "server_vad")).options.voice_activity == VoiceActivityOptions(
        threshold=0.5, silence_duration_s=None, speech_pad_s=0.3
    )
    strategy = '{"type": "server_vad", "prefix_padding_ms": 100, "silence_duration_ms": 700, "threshold": 0.25}'
    assert parse(("chunking_strategy", strategy)).options.voice_activity == VoiceActivityOptions(
        threshold=0.25, silence_duration_s=0.7, speech_pad_s=0.1
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("language", "klingon"),
        ("response_format", "xml"),
        ("temperature", "-0.1"),
        ("temperature", "1.1"),
        ("temperature", "0.0001"),
        ("temperature", "nan"),
        ("temperature", "hot"),
        ("seed", "-1"),
        ("seed", "1.5"),
        ("timestamp_granularities", "syllable"),
        ("include", "words"),
        ("stream", "slowly"),
        ("chunking_strategy", "vad"),
        ("chunking_strategy", '{"type": "auto"}'),
        ("chunking_strategy", '{"threshold": 0.5}'),
        ("chunking_strategy", '{"type": "server_vad", "threshold": 2}'),
        ("chunking_strategy", '{"type": "server_vad", "prefix_padding_ms": -1}'),
        ("chunking_strategy", '{"type": "server_vad", "silence": 1}'),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^{name} is .*allowed: ") as refused:
        parse((name, text))
    assert refused.value.parameter == name


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([("timestamp_granularities", "word")], "response_format is json, which cannot contain timestamp_gran"),
        (
            [("timestamp_granularities", "word"), ("response_format", "text")],
            "which cannot contain timestamp_gran",
        ),
        ([("word_timestamps", "true"), ("response_format", "text")], "is text, which cannot contain word_timest"),
        ([("word_timestamps", "true"), ("stream", "true")], "is json, which cannot contain word_timestamps"),
        ([("logprobs", "true"), ("response_format", "srt")], "is srt, which cannot contain logprobs"),
        ([("include", "logprobs"), ("response_format", "text")], "is text, which cannot contain logprobs"),
        ([("include", "logprobs"), ("response_format", "vtt")], "cannot contain logprobs"),
        ([("stream", "true"), ("response_format", "srt")], "is srt, which cannot be streamed"),
        ([("stream", "true"), ("response_format", "vtt")], "is vtt, which cannot be streamed"),
        ([("response_format", "diarized_json")], "'diarized_json' is not supported here: speakers"),
        ([("response_format", "Diarized-JSON")], "'Diarized-JSON' is not supported here: speakers"),
    ],
)
def test_formats_that_cannot_contain_the_rest_are_refused(texts: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(UnsupportedValue, match=message) as refused:
        parse(*texts)
    assert refused.value.parameter == "response_format"


def test_hotwords_with_keywords_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="mean the same"):
        parse(("hotwords", "a"), ("keywords", "b"))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([("language", "de"), ("languages", "en,fr")], "language is 'de', which is not among languages"),
        ([("languages[]", "en"), ("languages[]", "germn")], "languages is 'germn'"),
        ([("languages", ",".join(["en"] * 101))], "languages is"),
        ([("detect_language", "true"), ("language", "de")], "detect_language is true and language is 'de'"),
        (
            [("word_timestamps", "0"), ("timestamp_granularities", "word"), ("response_format", "vtt")],
            "word_timest",
        ),
    ],
)
def test_contradictions_are_refused(texts: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        parse(*texts)


@pytest.mark.parametrize(
    ("texts", "language", "languages"),
    [
        ([("languages[]", "de")], "de", ()),
        ([("languages", '["de", "en-US"]')], None, ("de", "en")),
        ([("languages[]", "de"), ("languages[]", "eng")], None, ("de", "en")),
        ([("languages", "de, fr")], None, ("de", "fr")),
        ([("languages[0]", "de"), ("languages[1]", "DE")], "de", ()),
        ([("languages[]", "de"), ("languages[]", "en"), ("language", "English")], "en", ()),
        ([("languages[]", "de"), ("languages[]", "en"), ("language", "auto")], None, ("de", "en")),
        ([("languages[]", "")], None, ()),
        ([("language", "auto")], None, ()),
        ([("language", "None"), ("detect_language", "true")], None, ()),
    ],
)
def test_several_languages_limit_detection(
    texts: list[tuple[str, str]], language: str | None, languages: tuple[str, ...]
) -> None:
    for task in TASKS:
        options = parse(*texts, task=task).options
        assert (options.language, options.languages) == (language, languages)


@pytest.mark.parametrize(
    ("text", "response_format"),
    [
        *(("JSON", "json"), (" Verbose_JSON ", "verbose_json"), ("verbose-json", "verbose_json"), ("SRT", "srt")),
        *(('"vtt"', "vtt"), ("webvtt", "vtt"), ("txt", "text"), ("null", "json"), ("", "json")),
    ],
)
def test_a_response_format_in_any_spelling(text: str, response_format: str) -> None:
    assert parse(("response_format", text)).response_format == response_format


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt"])
def test_segments_may_be_asked_for_in_every_format(response_format: str) -> None:
    """The AI SDK sends `segment` with json by default."""
    form = ("response_format", response_format)
    assert parse(form, ("timestamp_granularities[]", "segment")) == parse(form)


@pytest.mark.parametrize("response_format", ["json", "verbose_json", "srt", "vtt"])
def test_word_timestamps_mean_words(response_format: str) -> None:
    parsed = parse(("word_timestamps", "True"), ("response_format", response_format))
    assert parsed.options.word_timestamps
    assert parsed.shows_words
    assert parsed.shows_segments


@pytest.mark.parametrize("field", [("include[]", "logprobs"), ("logprobs", "true"), ("include", "LOGPROBS")])
@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
def test_logprobs_are_shown_in_json(field: tuple[str, str], response_format: str) -> None:
    parsed = parse(field, ("response_format", response_format))
    assert parsed.shows_logprobs
    assert parsed.options.token_logprobs
