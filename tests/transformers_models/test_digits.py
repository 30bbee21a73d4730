"""A model that nobody has seen before is trained here, served, and understands what it was not trained on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import jiwer
import pytest

from tests.conftest import make_flac
from tests.transformers_models.conftest import loaded, transcribe
from tests.transformers_models.digits import HELD_OUT_TAKES, read_digits, with_silence, write_trained

MAX_WORD_ERROR_RATE = 0.2


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_ctc_model_that_was_trained_on_digits_transcribes_others(tmp_path: Path, cache_dir: Path) -> None:
    digits = read_digits()
    write_trained(tmp_path, [digit for digit in digits if digit.take not in HELD_OUT_TAKES])
    held_out = [digit for digit in digits if digit.take in HELD_OUT_TAKES]
    with loaded(tmp_path, cache_dir) as transcriber:

        async def ask() -> list[str]:
            audio = [make_flac(with_silence(digit.waveform)) for digit in held_out]
            found = await asyncio.gather(*(transcribe(transcriber, each) for each in audio))
            return [each.text for each in found]

        texts = asyncio.run(ask())
    error_rate = jiwer.wer([digit.text for digit in held_out], [text or "-" for text in texts])
    assert error_rate <= MAX_WORD_ERROR_RATE, texts
