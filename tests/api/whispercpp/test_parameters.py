"""Fields of whisper.cpp's server become options; what is not supported is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from hf_asr_endpoint.api.whispercpp.parameters import ParsedParameters, parse_parameters
from hf_asr_endpoint.decoding_options import DecodingOptions
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter, UnsupportedValue
from hf_asr_endpoint.subtitles.limits import SubtitleShape
from hf_asr_endpoint.types import TranscriptionOptions, VoiceActivityOptions


def parse(**fields: str) -> ParsedParameters:
    return parse_parameters(fields.items())


def decoding(**options: Any) -> TranscriptionOptions:
    return TranscriptionOptions(decoding=DecodingOptions.from_flat(**options))


def test_defaults() -> None:
    assert parse() == ParsedParameters(
        options=TranscriptionOptions(),
        response_format="json",
        shape=SubtitleShape(),
        shows_times=True,
        shows_word_times=True,
        shows_probabilities=True,
    )


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"temperature": "0.0", "temperature_inc": "0.2"}, TranscriptionOptions()),
        ({"temperature": "0.00", "no_speech_thold": "0.6"}, TranscriptionOptions()),
        ({"temperature_inc": "0"}, decoding(temperatures=(0.0,))),
        (
            {"temperature": "0.4", "temperature_inc": "0.3"},
            decoding(temperatures=(0.4, 0.7, 1.0)),
        ),
        ({"language": "auto"}, TranscriptionOptions()),
        ({"language": "de", "translate": "true"}, TranscriptionOptions(language="de", task="translate")),
        ({"detect_language": "1"}, TranscriptionOptions(detects_language_only=True)),
        ({"detect_language": "yes", "language": "de"}, TranscriptionOptions(detects_language_only=True)),
        ({"prompt": "Tesla"}, TranscriptionOptions(prompt="Tesla")),
        ({"carry_initial_prompt": "true", "prompt": "Tesla"}, TranscriptionOptions(prompt="Tesla")),
        ({"response_format": "srt"}, TranscriptionOptions(prefers_words=True)),
        ({"response_format": "verbose_json"}, TranscriptionOptions(prefers_words=True)),
        ({"response_format": "text"}, TranscriptionOptions()),
        ({"beam_size": "5"}, decoding(num_beams=5)),
        ({"beam_size": "-1", "best_of": "3"}, decoding(best_of=3)),
        (
            {"logprob_thold": "-0.5"},
            decoding(logprob_threshold=-0.5),
        ),
        ({"suppress_nst": "false"}, decoding(suppress_tokens=())),
        ({"suppress_non_speech": "true"}, TranscriptionOptions()),
        (
            {"vad": "true", "vad_threshold": "0.3"},
            TranscriptionOptions(voice_activity=VoiceActivityOptions(threshold=0.3)),
        ),
        (
            {"vad_min_silence_duration_ms": "500", "vad_speech_pad_ms": "30"},
            TranscriptionOptions(voice_activity=VoiceActivityOptions(silence_duration_s=0.5, speech_pad_s=0.03)),
        ),
        ({"offset_t": "0", "duration": "0", "max_context": "-1", "diarize": "false"}, TranscriptionOptions()),
    ],
)
def test_fields_become_options(fields: dict[str, str], options: TranscriptionOptions) -> None:
    assert parse(**fields).options == options


@pytest.mark.parametrize(
    ("fields", "times", "word_times"),
    [
        ({"no_timestamps": "true"}, False, False),
        ({"token_timestamps": "false"}, True, False),
        ({"token_timestamps": "true"}, True, True),
    ],
)
def test_which_times_the_response_shows(fields: dict[str, str], times: bool, word_times: bool) -> None:
    parsed = parse(response_format="verbose_json", **fields)
    assert (parsed.shows_times, parsed.shows_word_times) == (times, word_times)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"response_format": "xml"}, InvalidParameter, "allowed: json, text, srt, verbose_json, vtt"),
        ({"temperature": "2"}, InvalidParameter, "temperature is '2'; allowed: 0, or a number from 0.001 to 1"),
        ({"temperature": "nan"}, InvalidParameter, "temperature is 'nan'"),
        ({"temperature_inc": "0.0001"}, InvalidParameter, "temperature_inc is '0.0001'; allowed: 0"),
        ({"language": "klingon"}, InvalidParameter, "language is 'klingon'"),
        ({"offset_t": "1000"}, UnsupportedValue, "offset_t is '1000'.*the whole file is transcribed; allowed: 0"),
        ({"diarize": "true"}, UnsupportedValue, "speakers are not distinguished; allowed: false"),
        ({"max_len": "30"}, UnsupportedValue, "use max_line_width"),
        ({"carry_initial_prompt": "false"}, UnsupportedValue, "allowed: true"),
        ({"no_timestamps": "true", "response_format": "srt"}, UnsupportedValue, "which consists of times"),
        ({"no_timestamps": "true", "token_timestamps": "true"}, InvalidParameter, "allowed: only one"),
        ({"beam_size": "5", "temperature": "0.5"}, InvalidParameter, "beam search needs temperature 0"),
        ({"suppress_nst": "true", "suppress_non_speech": "true"}, InvalidParameter, "suppress_nst is given twice"),
        ({"promt": "x"}, UnknownParameter, "did you mean 'prompt'"),
    ],
)
def test_what_is_not_supported_is_refused(
    fields: dict[str, str], error: type[InvalidParameter], message: str
) -> None:
    with pytest.raises(error, match=message):
        parse(**fields)
