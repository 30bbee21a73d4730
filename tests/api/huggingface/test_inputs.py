from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from hf_asr_endpoint.api.encoded_audio import parse_pcm_type
from hf_asr_endpoint.api.huggingface.inputs import parse_inputs
from hf_asr_endpoint.audio.headerless import PcmFormat
from hf_asr_endpoint.audio.source import EncodedAudio, SampledAudio
from hf_asr_endpoint.errors import BodyTooLarge, InvalidParameter, InvalidRequest

AUDIO = bytes(range(256))
BASE64 = base64.b64encode(AUDIO).decode()
LIMIT = 1_000


def encoded(inputs: object) -> EncodedAudio:
    source = parse_inputs(inputs, max_audio_bytes=LIMIT)
    assert isinstance(source, EncodedAudio)
    return source


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param(AUDIO, id="bytes"),
        pytest.param(bytearray(AUDIO), id="bytearray"),
        pytest.param(memoryview(AUDIO), id="memoryview"),
        pytest.param(BASE64, id="base64"),
        pytest.param(
            "\n".join(BASE64[i : i + 76] for i in range(0, len(BASE64), 76)) + "\n", id="base64 in lines"
        ),
        pytest.param(f"data:audio/wav;base64,{BASE64}", id="data URL"),
        pytest.param(f"data:;base64,{BASE64}", id="data URL without type"),
        pytest.param(f"data:audio/webm;codecs=opus;base64,{BASE64}", id="data URL with parameters"),
    ],
)
def test_the_bytes_come_out(inputs: object) -> None:
    source = encoded(inputs)
    assert source.file.read() == AUDIO
    assert source.pcm is None


def test_a_data_url_may_describe_headerless_samples() -> None:
    source = encoded(f"data:audio/L16;rate=8000;base64,{BASE64}")
    assert source.pcm == PcmFormat(sample_rate=8000)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        pytest.param("https://example.org/a.wav", InvalidRequest, "URLs are not opened", id="https"),
        pytest.param("file:///etc/passwd", InvalidRequest, "URLs are not opened", id="file URL"),
        pytest.param("s3://bucket/a.wav", InvalidRequest, "URLs are not opened", id="s3"),
        pytest.param("recordings/a.wav", InvalidRequest, "not valid base64", id="path"),
        pytest.param("/etc/passwd", InvalidRequest, "not valid base64", id="absolute path"),
        pytest.param("data:audio/wav,abc", InvalidRequest, ";base64", id="data URL not in base64"),
        pytest.param("data:\ud800;base64,AAA", InvalidRequest, "not valid base64", id="half a surrogate pair"),
        pytest.param("ä" * 100, InvalidRequest, "not valid base64", id="not ascii"),
        pytest.param("abc", InvalidRequest, "not valid base64", id="padding missing"),
        pytest.param("", InvalidRequest, "empty", id="empty text"),
        pytest.param(b"", InvalidRequest, "empty", id="empty bytes"),
        pytest.param(None, InvalidParameter, "NoneType", id="null"),
        pytest.param(7, InvalidParameter, "int", id="number"),
        pytest.param([1.0], InvalidParameter, "list", id="list"),
        pytest.param(bytes(LIMIT + 1), BodyTooLarge, "1001 bytes", id="too large"),
        pytest.param({"array": [0.0]}, InvalidParameter, "'array'", id="no rate"),
        pytest.param({"array": [0.0], "sampling_rate": "16000"}, InvalidParameter, "'16000'", id="rate as text"),
        pytest.param({"array": [0.0], "sampling_rate": True}, InvalidParameter, "True", id="rate as bool"),
        pytest.param({"array": [0.0], "sampling_rate": 1.5}, InvalidParameter, "1.5", id="rate with fraction"),
        pytest.param({"array": ["0.1"], "sampling_rate": 16000}, InvalidParameter, "<U3", id="text samples"),
        pytest.param({"array": [None], "sampling_rate": 16000}, InvalidParameter, "object", id="null samples"),
        pytest.param({"array": [True], "sampling_rate": 16000}, InvalidParameter, "bool", id="bool samples"),
        pytest.param({"array": [0, 9_000], "sampling_rate": 16000}, InvalidParameter, "up to 9000", id="16-bit"),
        pytest.param({"array": [1e39], "sampling_rate": 16000}, InvalidParameter, "up to 1e\\+39", id="huge"),
        pytest.param({"array": [0.0], "sampling_rate": 1e300}, InvalidParameter, "1e\\+300", id="rate too high"),
        pytest.param({"array": [0.0], "sampling_rate": 0}, InvalidParameter, "is 0;", id="rate 0"),
        pytest.param({"array": [[[0.0]]], "sampling_rate": 16000}, InvalidParameter, "shape", id="three axes"),
        pytest.param({"array": [[1.0], [1.0, 2.0]], "sampling_rate": 1}, InvalidParameter, "array", id="ragged"),
    ],
)
def test_values_that_are_not_audio_are_refused(inputs: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as refused:
        parse_inputs(inputs, max_audio_bytes=LIMIT)
    assert "allowed" in str(refused.value)


def test_a_path_is_never_opened_even_when_it_is_base64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official toolkit hands text to a pipeline, which opens paths: any local file could be read."""
    monkeypatch.chdir(tmp_path)
    Path("abcd").write_bytes(b"a local file")
    assert encoded("abcd").file.read() == base64.b64decode("abcd")


@pytest.mark.parametrize(
    "array",
    [
        pytest.param([0.0, 0.5, -0.5], id="list"),
        pytest.param(np.array([0.0, 0.5, -0.5]), id="float64"),
        pytest.param(np.array([0, 2**14, -(2**14)], np.int16), id="numpy integers are scaled"),
        pytest.param([[0.0, 0.5, -0.5], [0.0, 0.5, -0.5]], id="channels"),
    ],
)
def test_samples_become_float32(array: object) -> None:
    source = parse_inputs({"array": array, "sampling_rate": 22_050}, max_audio_bytes=LIMIT)
    assert isinstance(source, SampledAudio)
    assert source.sample_rate == 22_050
    assert source.samples.dtype == np.float32
    assert np.atleast_2d(source.samples)[0].tolist() == [0.0, 0.5, -0.5]


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("audio/flac", None, id="other"),
        pytest.param("audio/L16; rate=16000", PcmFormat(sample_rate=16_000), id="L16"),
        pytest.param("AUDIO/l16;rate=8000;channels=2", PcmFormat(sample_rate=8_000, n_channels=2), id="stereo"),
        pytest.param(
            'audio/pcm; rate="24000"; endianness=big-endian',
            PcmFormat(sample_rate=24_000, byte_order="BIG"),
            id="big-endian",
        ),
    ],
)
def test_media_types_of_headerless_samples(media_type: str | None, expected: PcmFormat | None) -> None:
    assert parse_pcm_type(media_type) == expected


@pytest.mark.parametrize(
    "media_type",
    [
        "audio/l16",
        "audio/l16; rate=fast",
        pytest.param("audio/l16; rate=" + "1" * 5_000, id="thousands of digits"),
        "audio/l16; rate=\N{ARABIC-INDIC DIGIT ONE}",
        "audio/l16; rate=8000; channels=0",
        "audio/l16; rate=8000; channels=65",
        "audio/pcm; rate=8000; endianness=middle",
    ],
)
def test_media_types_that_describe_nothing_usable_are_refused(media_type: str) -> None:
    with pytest.raises(InvalidParameter, match="allowed"):
        parse_pcm_type(media_type)
