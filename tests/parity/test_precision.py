"""Lower precisions transcribe the same words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from hf_asr_endpoint.errors import ModelUnavailable
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.types import Waveform
from hf_asr_endpoint.whisper import loading
from hf_asr_endpoint.whisper.kernels.processor import Level, levels
from hf_asr_endpoint.whisper.loading import load_speech_model
from tests.parity.decoding import decode, greedy
from tests.parity.recordings import cut_window
from tests.whisper.levels import EMULATED_HERE, every_level, kernels_of

pytestmark = pytest.mark.parity

SPOKEN = "ask not what your country can do for you ask what you can do for your country"


def has_int8() -> bool:
    return bool(levels() or torch.cpu._is_vnni_supported())


def has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@pytest.mark.parametrize(
    ("dtype", "is_supported"),
    [
        pytest.param("float32", lambda: True, id="float32"),
        pytest.param("bfloat16", has_bfloat16, id="bfloat16"),
        pytest.param("int8", has_int8, id="int8"),
    ],
)
def test_every_precision_transcribes_the_words(
    tiny_en_directory: Path,
    cache_dir: Path,
    speech: Waveform,
    dtype: Literal["float32", "bfloat16", "int8"],
    is_supported: Callable[[], bool],
) -> None:
    if not is_supported():
        pytest.skip(f"this processor does not compute in {dtype}")
    model, tokenizer, info = load_speech_model(
        tiny_en_directory, device="cpu", dtype=dtype, slots=3, cache_dir=cache_dir
    )
    assert info.dtype == dtype
    prompt = Vocabulary(tokenizer, is_multilingual=False).prompt(language_token=None, task="transcribe")
    states = {slot: greedy(prompt, max_new_tokens=60) for slot in (0, 2)}
    model.encode({slot: cut_window(speech) for slot in states})
    decode(model, states)
    for state in states.values():
        assert SPOKEN in tokenizer.decode(state.sampled).lower().replace(",", "")
        assert state.avg_logprob > -0.5
    assert states[0].sampled == states[2].sampled


@every_level
def test_every_level_transcribes_the_words(
    tiny_en_directory: Path, cache_dir: Path, speech: Waveform, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    if level in EMULATED_HERE:
        if kernels_of(level).layout.activations == torch.bfloat16 and not has_bfloat16():
            pytest.skip("torch's other operators do not compute in bfloat16 here")
        monkeypatch.setattr(loading, "choose_level", lambda name: name)
        monkeypatch.setattr(loading, "Kernels", lambda level, cache_dir: kernels_of(level))
    model, tokenizer, info = load_speech_model(
        tiny_en_directory, device="cpu", dtype="int8", slots=1, cpu_level=level, cache_dir=cache_dir
    )
    assert (info.dtype, info.cpu_level) == ("int8", level)
    prompt = Vocabulary(tokenizer, is_multilingual=False).prompt(language_token=None, task="transcribe")
    states = {0: greedy(prompt, max_new_tokens=60)}
    model.encode({0: cut_window(speech)})
    decode(model, states)
    assert SPOKEN in tokenizer.decode(states[0].sampled).lower().replace(",", "")


@pytest.mark.skipif(torch.cpu._is_vnni_supported(), reason="torch's operators compute in int8 here")
def test_int8_without_kernels_and_vnni_instructions_is_refused(tiny_en_directory: Path) -> None:
    with pytest.raises(ModelUnavailable, match="VNNI"):
        load_speech_model(tiny_en_directory, device="cpu", dtype="int8", slots=1, cpu_level="none")


def test_auto_is_int8_where_kernels_run(tiny_en_directory: Path, cache_dir: Path) -> None:
    info = load_speech_model(tiny_en_directory, device="cpu", dtype="auto", slots=1, cache_dir=cache_dir)[2]
    assert (info.dtype == "int8") == bool(levels())
