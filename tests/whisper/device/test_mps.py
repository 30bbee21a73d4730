"""What Apple's GPUs demand of the model that runs there: it is the CPU's, with torch's operators in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from hf_asr_endpoint.whisper.alignment.timing import AlignmentInput
from hf_asr_endpoint.whisper.language_scores import PositionSpan
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from tests.whisper.device.conftest import N_SLOTS
from tests.whisper.device.running import LONG_PROMPT, MIXED, Text, decode, rules, window


class RefuseFloat64(TorchFunctionMode):
    """Refuses 64-bit floats, which MPS has not (pytorch#77764), but for tensors that `cpu` has returned."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        is_on_host = func is Tensor.cpu or (bool(given) and all(hasattr(leaf, "is_on_host") for leaf in given))
        if func is Tensor.cpu:
            found = found.clone()
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                assert is_on_host or leaf.dtype != torch.float64, f"{func} returns float64"
                if is_on_host:
                    leaf.is_on_host = True  # type: ignore[attr-defined]  # The test's own mark.
        return found


def test_no_search_makes_64_bit_floats_on_the_device(host_model: WhisperSpeechModel) -> None:
    filtered = rules(0.6, top_k=9, top_p=0.9, typical_p=0.9, epsilon_cutoff=1e-3, eta_cutoff=1e-3)
    with RefuseFloat64():
        decode(host_model, [*MIXED, Text(window=window(2), rules=filtered)], slots=N_SLOTS)


def test_languages_and_word_times_make_no_64_bit_floats_on_the_device(
    host_model: WhisperSpeechModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_model._host.rules, "_languages", torch.tensor([3, 7, 11]))
    with RefuseFloat64():
        host_model.encode({0: window(3)}, spans={0: [PositionSpan(0, 50)]})
        text = AlignmentInput(prompt=LONG_PROMPT.tokens[-1:], tokens=(1, 2, 3), n_positions=50)
        assert host_model.align({0: text})
        host_model.free(0)


def test_the_mode_refuses_64_bit_floats() -> None:
    with RefuseFloat64():
        assert torch.ones(1).cpu().double().sum() == 1
        with pytest.raises(AssertionError, match="float64"):
            torch.ones(1).double()
