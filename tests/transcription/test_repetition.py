"""Whether a window repeats the text before it."""

from __future__ import annotations

import pytest

from hf_asr_endpoint.transcription.repetition import repeats

SENTENCE = " The quick brown fox jumps over the lazy dog."
LONG_SENTENCE = " It rained all day long, and nobody went out to play."
CHINESE = " 我们今天去公园散步,天气很好。"


@pytest.mark.parametrize(
    ("previous", "text", "expected"),
    [
        pytest.param(SENTENCE, SENTENCE, True, id="the same sentence"),
        pytest.param(" It rained." + SENTENCE, SENTENCE.upper(), True, id="the last sentence, in other case"),
        pytest.param(SENTENCE, " the quick brown fox, jumps over", True, id="the beginning of it"),
        pytest.param(SENTENCE, SENTENCE + " It rained.", True, id="it, and a little more"),
        pytest.param(CHINESE + "大家都很高兴。", CHINESE, True, id="without spaces"),
        pytest.param(SENTENCE, " It rained all day long, and nobody went out.", False, id="another sentence"),
        pytest.param(" Yes. No.", " Yes. No.", False, id="short answers"),
        pytest.param(SENTENCE, SENTENCE + LONG_SENTENCE, False, id="a small part"),
        pytest.param("", SENTENCE, False, id="nothing before"),
        pytest.param(SENTENCE, "", False, id="no text"),
    ],
)  # fmt: skip
def test_a_window_that_repeats_half_its_text_is_a_loop(previous: str, text: str, expected: bool) -> None:
    assert repeats(previous, text) is expected
