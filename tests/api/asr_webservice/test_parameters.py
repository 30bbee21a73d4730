"""Query strings become options; what is not supported is refused by name."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.api.asr_webservice.parameters import ParsedParameters, parse_detection, parse_parameters
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter, UnsupportedValue
from hf_asr_endpoint.subtitles.limits import SubtitleShape
from hf_asr_endpoint.types import TranscriptionOptions


def parse(**fields: str) -> ParsedParameters:
    return parse_parameters(fields.items())


def test_defaults() -> None:
    assert parse() == ParsedParameters(
        options=TranscriptionOptions(), has_header=True, output="txt", shape=SubtitleShape(), shows_words=False
    )


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"task": "translate"}, TranscriptionOptions(task="translate")),
        ({"language": "de"}, TranscriptionOptions(language="de")),
        ({"language": "German"}, TranscriptionOptions(language="de")),
        ({"language": ""}, TranscriptionOptions()),
        ({"language": "auto"}, TranscriptionOptions()),
        ({"initial_prompt": "Tesla"}, TranscriptionOptions(prompt="Tesla")),
        ({"vad_filter": "true"}, TranscriptionOptions()),
        ({"vad_filter": "false"}, TranscriptionOptions()),
        ({"diarize": "False", "min_speakers": "", "max_speakers": ""}, TranscriptionOptions()),
        ({"word_timestamps": "1", "output": "json"}, TranscriptionOptions(word_timestamps=True)),
        ({"word_timestamps": "false", "output": "json"}, TranscriptionOptions()),
        ({"output": "srt"}, TranscriptionOptions(prefers_words=True)),
        ({"output": "tsv"}, TranscriptionOptions()),
    ],
)
def test_fields_become_options(fields: dict[str, str], options: TranscriptionOptions) -> None:
    assert parse(**fields).options == options


def test_what_the_response_shows() -> None:
    parsed = parse(encode="false", output="json", word_timestamps="true")
    assert (parsed.has_header, parsed.output, parsed.shows_words) == (False, "json", True)
    assert parse(output="srt", max_line_width="20").shape == SubtitleShape(max_line_width=20)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"output": "docx"}, InvalidParameter, "allowed: txt, vtt, srt, tsv, json, ass or lrc"),
        ({"task": "sing"}, InvalidParameter, "allowed: transcribe or translate"),
        ({"encode": "perhaps"}, InvalidParameter, "encode is 'perhaps'; allowed: true, or false"),
        ({"language": "klingon"}, InvalidParameter, "language is 'klingon'"),
        ({"diarize": "true"}, UnsupportedValue, "speakers are not distinguished; allowed: false"),
        ({"min_speakers": "2"}, UnsupportedValue, "min_speakers is '2'.*allowed: a request without it"),
        ({"max_line_width": "20"}, UnsupportedValue, "output is txt, which max_line_width does not shape"),
        ({"initial_promt": "x"}, UnknownParameter, "did you mean 'initial_prompt'"),
    ],
)
def test_what_is_not_supported_is_refused(
    fields: dict[str, str], error: type[InvalidParameter], message: str
) -> None:
    with pytest.raises(error, match=message):
        parse(**fields)


def test_detection_asks_for_the_language_only() -> None:
    parsed = parse_detection([("encode", "false")])
    assert parsed.options == TranscriptionOptions(detects_language_only=True)
    assert not parsed.has_header
    with pytest.raises(UnknownParameter, match="there is no parameter 'language'; allowed: encode"):
        parse_detection([("language", "de")])
