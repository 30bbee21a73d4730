"""OpenAI's own Python client on a server of each engine, with real weights: nothing but `base_url` is changed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator

import numpy as np
import openai
import pytest
import soundfile
import srt
import webvtt
from openai import AsyncOpenAI, OpenAI
from openai.types import Model
from openai.types.audio import (
    Transcription,
    TranscriptionStreamEvent,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)

from tests.conftest import DATA, MODEL_NAMES, make_flac
from tests.openai_schema import check_schema
from tests.server import Server

TIMEOUT_S = 120.0
JFK = DATA / "jfk.mp3"
GERMAN = DATA / "fleurs-de-005.ogg"
READ_ALOUD = (
    *("533-1066-0006.flac", "367-130732-0001.flac", "3331-159605-0007.flac"),
    *("1688-142285-0003.flac", "3080-5032-0003.flac", "2033-164914-0007.flac"),
)
"""Joined they last 26 s, and have segments that are too long for a cue."""
SPOKEN = "ask not what your country can do for you"


def connect(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="any", timeout=TIMEOUT_S, max_retries=0)


@pytest.fixture(scope="module")
def client(either_server: Server) -> Iterator[OpenAI]:
    with connect(either_server) as opened:
        yield opened


@pytest.fixture(scope="module")
def patient_client(either_server_slowly: Server) -> Iterator[OpenAI]:
    with connect(either_server_slowly) as opened:
        yield opened


def plain(text: str) -> str:
    return text.lower().replace(",", "").replace(".", "")


def clock(seconds: float) -> str:
    """Return a time of less than an hour as subtitles show it."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"00:{minutes:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"


def stream_text(events: list[TranscriptionStreamEvent]) -> str:
    """Return the deltas, joined, having checked every event against the schema and the last one against them."""
    for event in events:
        check_schema(event.model_dump(exclude_unset=True), "CreateTranscriptionResponseStreamEvent")
    text = "".join(event.delta for event in events if isinstance(event, TranscriptionTextDeltaEvent))
    assert isinstance(events[-1], TranscriptionTextDoneEvent)
    assert events[-1].text == text
    return text


def test_json(client: OpenAI) -> None:
    result = client.audio.transcriptions.create(model="whisper-1", file=JFK)
    assert isinstance(result, Transcription)
    assert SPOKEN in plain(result.text)
    assert result.usage
    assert result.usage.type == "duration"
    assert result.usage.seconds == 11
    check_schema(result.model_dump(exclude_unset=True), "CreateTranscriptionResponseJson")


@pytest.mark.parametrize("base", ["v1", "openai/v1"])
@pytest.mark.parametrize("model", ["whisper-1", "openai/whisper-base"])
def test_each_base_and_name(server: Server, jfk: bytes, base: str, model: str) -> None:
    with OpenAI(base_url=f"{server.url}/{base}", api_key="any", timeout=TIMEOUT_S) as client:
        assert SPOKEN in plain(client.audio.transcriptions.create(model=model, file=jfk).text)
        assert client.models.retrieve(model).id == model


def test_verbose_json(client: OpenAI) -> None:
    result = client.audio.transcriptions.create(
        model="whisper-1", file=JFK, response_format="verbose_json", timestamp_granularities=["segment"]
    )
    assert isinstance(result, TranscriptionVerbose)
    assert (result.language, round(result.duration)) == ("english", 11)
    assert result.segments
    assert "".join(segment.text for segment in result.segments).strip() == result.text
    assert [segment.id for segment in result.segments] == list(range(len(result.segments)))
    for segment in result.segments:
        assert 0 <= segment.start <= segment.end <= result.duration
        assert segment.tokens[0] >= 50_364  # the first timestamp of a multilingual model
        assert -1 < segment.avg_logprob < 0
        assert 0 <= segment.no_speech_prob < 0.6
        assert 0.5 < segment.compression_ratio < 2.4
        assert (segment.temperature, segment.seek) == (0.0, 0)
    check_schema(result.model_dump(exclude_unset=True), "CreateTranscriptionResponseVerboseJson")


def test_words(client: OpenAI) -> None:
    result = client.audio.transcriptions.create(
        model="whisper-1", file=JFK, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert result.segments is None
    assert result.words
    assert " ".join(word.word for word in result.words) == result.text
    assert 20 <= len(result.words) <= 24  # He says 22.
    times = [time for word in result.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < 1
    assert 10 < times[-1] <= 11
    check_schema(result.model_dump(exclude_unset=True), "CreateTranscriptionResponseVerboseJson")


def test_a_long_recording_seeks_on(patient_client: OpenAI, long_recording: bytes) -> None:
    result = patient_client.audio.transcriptions.create(
        model="whisper-1", file=("long.flac", long_recording), response_format="verbose_json"
    )
    assert result.segments
    assert plain(result.text).count(SPOKEN) == 3
    assert result.segments[-1].seek > 1_000
    assert result.segments[-1].seek <= result.segments[-1].start * 100


def test_text_and_subtitles(client: OpenAI) -> None:
    text = client.audio.transcriptions.create(model="whisper-1", file=JFK, response_format="text")
    assert SPOKEN in plain(text)
    subrip = client.audio.transcriptions.create(model="whisper-1", file=JFK, response_format="srt")
    vtt = client.audio.transcriptions.create(model="whisper-1", file=JFK, response_format="vtt")
    cues = list(srt.parse(subrip, ignore_errors=False))
    assert SPOKEN in plain(" ".join(cue.content for cue in cues)).replace("\n", " ")
    assert all((cue.end - cue.start).total_seconds() <= 7.001 for cue in cues)
    assert [cue.text for cue in webvtt.from_buffer(io.StringIO(vtt))] == [cue.content for cue in cues]


def test_long_segments_are_cut_into_cues_at_the_words_times(patient_client: OpenAI) -> None:
    file = ("read.flac", make_flac(np.concatenate([soundfile.read(DATA / name)[0] for name in READ_ALOUD])))
    verbose = patient_client.audio.transcriptions.create(
        model="whisper-1",
        file=file,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    subrip = patient_client.audio.transcriptions.create(model="whisper-1", file=file, response_format="srt")
    vtt = patient_client.audio.transcriptions.create(model="whisper-1", file=file, response_format="vtt")
    assert verbose.segments
    assert verbose.words
    assert any(len(segment.text.strip()) > 84 for segment in verbose.segments)
    assert any(segment.end - segment.start > 7 for segment in verbose.segments)
    cues = [
        (cue.start.total_seconds(), cue.end.total_seconds(), cue.content)
        for cue in srt.parse(subrip, ignore_errors=False)
    ]
    assert {start for start, _, _ in cues} <= {round(word.start, 3) for word in verbose.words}
    assert {end for _, end, _ in cues} <= {round(word.end, 3) for word in verbose.words}
    assert " ".join(text for _, _, text in cues).split() == verbose.text.split()
    assert all(end - start <= 7.001 and len(text) <= 84 for start, end, text in cues)
    times = [time for start, end, _ in cues for time in (start, end)]
    assert times == sorted(times)
    assert times[-1] <= verbose.duration
    from_vtt = webvtt.from_buffer(io.StringIO(vtt))
    assert [(cue.start, cue.end, cue.text) for cue in from_vtt] == [
        (clock(start), clock(end), text) for start, end, text in cues
    ]


def test_every_other_parameter(client: OpenAI) -> None:
    result = client.audio.transcriptions.create(
        model="whisper-1",
        file=JFK,
        language="en",
        prompt="A speech by John F. Kennedy.",
        temperature=0.2,
        response_format="json",
        stream=False,
        include=["logprobs"],
        chunking_strategy={
            "type": "server_vad",
            "prefix_padding_ms": 200,
            "silence_duration_ms": 400,
            "threshold": 0.4,
        },
        keywords=["country", "Americans"],
        extra_body={"seed": 7},
    )
    assert SPOKEN in plain(result.text)
    assert result.logprobs
    assert "".join(token.token or "" for token in result.logprobs).strip() == result.text
    assert all(token.logprob is not None and token.logprob <= 0 for token in result.logprobs)
    check_schema(result.model_dump(exclude_unset=True), "CreateTranscriptionResponseJson")


def test_equal_seeds_have_equal_answers(patient_client: OpenAI) -> None:
    def ask(seed: int) -> str:
        return patient_client.audio.transcriptions.create(
            model="whisper-1", file=JFK, temperature=1.0, extra_body={"seed": seed, "chunking_strategy": "auto"}
        ).text

    texts = [ask(seed) for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_a_stream(client: OpenAI) -> None:
    with client.audio.transcriptions.create(
        model="whisper-1", file=JFK, stream=True, include=["logprobs"]
    ) as stream:
        events = list(stream)
    assert SPOKEN in plain(stream_text(events))
    assert isinstance(events[-1], TranscriptionTextDoneEvent)
    assert events[-1].logprobs
    assert events[-1].usage
    assert events[-1].usage.input_tokens == 550
    assert events[-1].usage.output_tokens > 20


def test_a_stream_of_segments(patient_client: OpenAI, long_recording: bytes) -> None:
    stream = patient_client.audio.transcriptions.create(
        model="whisper-1", file=("long.flac", long_recording), stream=True, response_format="verbose_json"
    )
    events = list(stream)
    assert plain(stream_text(events)).count(SPOKEN) == 3
    segments = [event for event in events if isinstance(event, TranscriptionTextSegmentEvent)]
    assert len(segments) > 3
    times = [time for segment in segments for time in (segment.start, segment.end)]
    assert times == sorted(times)
    assert times[-1] > 32


def test_a_stream_of_the_asynchronous_client(either_server: Server, jfk: bytes) -> None:
    async def listen() -> list[TranscriptionStreamEvent]:
        async with AsyncOpenAI(base_url=f"{either_server.url}/v1", api_key="any", timeout=TIMEOUT_S) as client:
            stream = await client.audio.transcriptions.create(model="whisper-1", file=jfk, stream=True)
            return [event async for event in stream]

    assert SPOKEN in plain(stream_text(asyncio.run(listen())))


# The client warns that OpenAI will shut its own down.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_translations(client: OpenAI) -> None:
    result = client.audio.translations.create(
        model="whisper-1", file=GERMAN, prompt="About fossils.", temperature=0
    )
    assert isinstance(result, Translation)
    assert "animals" in plain(result.text)
    check_schema(result.model_dump(exclude_unset=True), "CreateTranslationResponseJson")
    verbose = client.audio.translations.create(
        model="whisper-1", file=GERMAN, response_format="verbose_json", extra_body={"language": "de"}
    )
    assert isinstance(verbose, TranslationVerbose)
    assert verbose.language == "english"
    assert verbose.segments
    check_schema(verbose.model_dump(exclude_unset=True), "CreateTranslationResponseVerboseJson")
    subtitles = client.audio.translations.create(model="whisper-1", file=GERMAN, response_format="vtt")
    assert str(subtitles).startswith("WEBVTT\n\n00:")


def test_models(client: OpenAI) -> None:
    models = list(client.models.list())
    assert all(isinstance(model, Model) for model in models)
    names = [model.id for model in models]
    assert names[0] == "openai/whisper-base"
    assert {"whisper-1", *MODEL_NAMES} <= set(names)


def test_errors_are_the_clients_own(client: OpenAI, silent_minutes: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match=r"temperature is '1\.5'; allowed: 0, or a number") as bad:
        client.audio.transcriptions.create(model="whisper-1", file=JFK, temperature=1.5)
    assert (bad.value.param, bad.value.code) == ("temperature", "invalid_value")
    assert bad.value.request_id
    with pytest.raises(openai.NotFoundError) as unknown:
        client.audio.transcriptions.create(model="whisper-9", file=JFK)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("whisper-9")
    with pytest.raises(openai.BadRequestError, match="not audio of a known format"):
        client.audio.transcriptions.create(model="whisper-1", file=b"no audio", stream=True)
    with pytest.raises(openai.APIStatusError, match="Maximum content size limit \\(2097152\\) exceeded") as large:
        client.audio.transcriptions.create(model="whisper-1", file=bytes(3_000_000))
    assert large.value.status_code == 413
    with pytest.raises(openai.APIStatusError, match="longer than 60 s") as long:
        client.audio.transcriptions.create(model="whisper-1", file=silent_minutes)
    assert long.value.status_code == 413
