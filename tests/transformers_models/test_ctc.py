"""CTC models: chunks that are cut inside speech, and which words each gets."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hf_asr_endpoint.audio.chunking import Chunk, SpeechSpan
from hf_asr_endpoint.transformers_models.audio_input import AudioInput
from hf_asr_endpoint.transformers_models.ctc import CtcFamily
from hf_asr_endpoint.transformers_models.family import ChunkInContext
from hf_asr_endpoint.transformers_models.transcriber import in_context
from hf_asr_endpoint.types import TranscriptionOptions, Waveform
from hf_asr_endpoint.units import SAMPLE_RATE
from tests.transformers_models.small_models import letter_tokenizer

FRAME = SAMPLE_RATE // 10


class FramesModel:
    """A CTC model that reads each tenth of a second's first sample as the token that it gives."""

    config = SimpleNamespace(model_type="frames", pad_token_id=0)

    def __call__(self, input_values: torch.Tensor) -> Any:
        ids = input_values[:, ::FRAME].round().long()
        return SimpleNamespace(logits=20.0 * torch.nn.functional.one_hot(ids, 32))


class Samples:
    """A feature extractor that leaves the samples alone."""

    sampling_rate = SAMPLE_RATE

    def __call__(self, waveforms: Sequence[Waveform], **_: Any) -> dict[str, torch.Tensor]:
        return {"input_values": torch.tensor(np.stack(waveforms))}


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> CtcFamily:
    audio = AudioInput(Samples(), device=torch.device("cpu"), dtype=torch.float32)
    tokenizer = letter_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return CtcFamily(FramesModel(), tokenizer, audio, masks_padding=False)


def spell(family: CtcFamily, text: str) -> Waveform:
    """Return a waveform with a tenth of a second for each character. "." is blank."""
    ids = [0 if letter == "." else family._tokenizer.convert_tokens_to_ids(letter) for letter in text]
    return np.repeat(np.array(ids, np.float32), FRAME)


def chunk(waveform: Waveform, offset_s: float = 0.0) -> Chunk:
    span = SpeechSpan(start_s=0.0, end_s=len(waveform) / SAMPLE_RATE)
    return Chunk(waveform=waveform, offset_s=offset_s, speech=(span,))


def transcribe(family: CtcFamily, *chunks: Chunk) -> list[Any]:
    contexts = [each for each in in_context(iter(chunks), family.context_s) if each is not None]
    return family.transcribe(contexts, TranscriptionOptions(), have_left=lambda: [False] * len(contexts))


def test_words_have_times_and_blanks_part_equal_letters(family: CtcFamily) -> None:
    (found,) = transcribe(family, chunk(spell(family, ".hel.llo||worr..r.ld..")))
    assert found.text == " hello worrld"
    first, second = found.words
    assert (first.start, first.end) == pytest.approx((0.1, 0.8))
    assert (second.start, second.end) == pytest.approx((1.0, 2.0))
    assert first.probability == pytest.approx(1.0, abs=1e-3)


def test_a_word_at_a_cut_is_whole_and_comes_once(family: CtcFamily) -> None:
    text = "one|two|six|four|five"
    for cut in range(2, len(text)):
        waveform = spell(family, text)
        left, right = waveform[: cut * FRAME], waveform[cut * FRAME :]
        found = transcribe(family, chunk(left), chunk(right, cut / 10))
        assert "".join(each.text for each in found) == " one two six four five"
        starts = [
            each.start + offset for part, offset in zip(found, (0, cut / 10), strict=True) for each in part.words
        ]
        assert starts == pytest.approx([0.0, 0.4, 0.8, 1.2, 1.7])


def test_chunks_that_are_apart_have_no_context() -> None:
    waveform = np.ones(SAMPLE_RATE, np.float32)
    chunks = [chunk(waveform), None, chunk(2 * waveform, 1.0), chunk(waveform, 2.5)]
    found = [each for each in in_context(iter(chunks), 0.25) if each is not None]
    assert [(len(each.before), len(each.after)) for each in found] == [(0, 4000), (4000, 0), (0, 0)]
    assert found[0].after[0] == 2
    assert [each.chunk for each in found] == [each for each in chunks if each is not None]


def test_without_a_wish_for_context_no_chunk_waits_for_the_next() -> None:
    chunks = iter([chunk(np.ones(8, np.float32)), None])
    first = next(in_context(chunks, 0.0))
    assert isinstance(first, ChunkInContext)
