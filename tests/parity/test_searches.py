"""Diverse beam search and contrastive search give the texts of transformers 4.55, the last version that had them.

All ten recordings with both models take some minutes:

    python -m pytest tests/parity/test_searches.py -m parity_full
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor

from hf_asr_endpoint.whisper.checkpoint.config import GenerationConfig, ModelConfig
from hf_asr_endpoint.whisper.checkpoint.loader import WhisperCheckpoint
from hf_asr_endpoint.whisper.checkpoint.tensor_files import in_memory
from hf_asr_endpoint.whisper.checkpoint.tensors import Tensors, select_tensors
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState, best_row
from hf_asr_endpoint.whisper.speech_model import WhisperSpeechModel
from tests.parity.conftest import Pair
from tests.parity.decoding import N_SLOTS, decode, rows_in, rules_at_temperature_0, with_eot
from tests.parity.freeze_searches import FROZEN, RANDOM
from tests.parity.oracle import TIE
from tests.parity.random_whisper import EOT, N_VOCAB, SOT, SPECIAL_TOKENS, random_whisper, random_window
from tests.parity.recordings import frozen_recordings, whole_window

pytestmark = pytest.mark.parity

DOCUMENT = json.loads(FROZEN.read_text())
RANDOM_PROMPT = DecoderPrompt(tokens=(SOT,))


def cases(model: str) -> dict[str, list[Any]]:
    """Return the frozen results of a model, by the arguments of transformers' `generate`."""
    found: dict[str, list[Any]] = {}
    for case in DOCUMENT["cases"]:
        if case["model"] == model:
            found.setdefault(json.dumps(case["arguments"]), []).append(case)
    return found


def rules_of(case: Mapping[str, Any], prompt: DecoderPrompt) -> AttemptRules:
    return rules_at_temperature_0(prompt, {"max_new_tokens": DOCUMENT["max_new_tokens"], **case["arguments"]})


def search(model: WhisperSpeechModel, window: Tensor, prompt: DecoderPrompt, rules: AttemptRules) -> DecodingState:
    """Search in slots that are not contiguous."""
    n_rows = rules.contrast.top_k if rules.contrast else rules.beams.num_beams if rules.beams else 1
    slots = sorted(5 * row % N_SLOTS for row in range(n_rows))
    model.encode(dict.fromkeys(slots, window))
    rows = rows_in(slots, prompt, rules)
    decode(model, rows)
    for slot in slots:
        model.free(slot)
    assert all(row.sampled == rows[slots[0]].sampled and row.is_finished for row in rows.values())
    return best_row(list(rows.values()))


@pytest.fixture(scope="module")
def random_model() -> WhisperSpeechModel:
    words = {f"w{token}": token for token in range(N_VOCAB)}
    for name, token in SPECIAL_TOKENS.items():
        del words[f"w{token}"]
        words[name] = token
    tokenizer = WhisperTokenizer(Tokenizer(WordLevel(words, unk_token="w0")))
    model = random_whisper()
    config = ModelConfig.from_json(model.config.to_dict())
    stored = select_tensors(in_memory(model.state_dict()), config)
    checkpoint = WhisperCheckpoint(
        config=config,
        generation_config=GenerationConfig.from_json(model.generation_config.to_dict()),
        tensors=Tensors(stored, device=model.device, dtype=model.dtype),
        tokenizer=tokenizer,
        is_multilingual=False,
    )
    return WhisperSpeechModel(checkpoint, slots=N_SLOTS, arithmetic="float")


def check(state: DecodingState, case: Mapping[str, Any], *, eot: int) -> None:
    """Compare a text with transformers', up to `breaks_rules_at`, and its score if it has one."""
    tokens, end = case["tokens"], case.get("breaks_rules_at")
    found = with_eot(state, eot=eot)
    if end is None:
        assert found == tokens, case["window"]
    else:
        assert found[:end] == tokens[:end], case["window"]
        assert found[end] != tokens[end], case["window"]
    if "score" in case:
        assert state.search is not None
        assert state.search.best.score == pytest.approx(case["score"], abs=TIE)


@pytest.mark.parametrize("arguments", cases(RANDOM))
def test_texts_of_random_weights(random_model: WhisperSpeechModel, arguments: str) -> None:
    texts = set()
    for case in cases(RANDOM)[arguments]:
        rules = rules_of(case, RANDOM_PROMPT)
        state = search(random_model, random_window(int(case["window"])), RANDOM_PROMPT, rules)
        check(state, case, eot=EOT)
        texts.add(tuple(state.sampled))
    assert len(texts) >= 5


@pytest.mark.parametrize("arguments", cases("whisper-tiny.en"))
def test_texts_of_a_few_recordings(tiny_en: Pair, arguments: str) -> None:
    compare(tiny_en, cases("whisper-tiny.en")[arguments][::9])


@pytest.mark.parity_full
def test_texts_of_all_recordings(pair: Pair) -> None:
    of_model = cases("whisper-base" if pair.is_multilingual else "whisper-tiny.en")
    for of_arguments in of_model.values():
        assert len(of_arguments) == len(frozen_recordings())
        compare(pair, of_arguments)


def compare(pair: Pair, frozen: Sequence[Mapping[str, Any]]) -> None:
    recordings = {recording.name: recording for recording in frozen_recordings()}
    for case in frozen:
        window = whole_window(recordings[case["window"]].waveform())
        prompt = pair.prompt("en")
        state = search(pair.model, window, prompt, rules_of(case, prompt))
        check(state, case, eot=pair.tokenizer.eot)
