"""Compares texts with transformers' for given arguments of `generate`, greedily and with beams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from hf_asr_endpoint.whisper.decoding.state import DecodingState, best_row
from tests.parity.conftest import Pair
from tests.parity.decoding import decode, rows_in, rules_at_temperature_0, with_eot
from tests.parity.oracle import TIE
from tests.parity.recordings import Recording, whole_window

MAX_NEW_TOKENS = 60
MIN_EQUAL = 0.95  # of the texts; each of the others must be as good as transformers'
GREEDY_SLOT = 3
BEAM_SLOTS = (1, 3, 4, 7, 9, 10)


@dataclass(slots=True, kw_only=True)
class BeamFigures:
    """others: by how much transformers' score is better than ours, for each text that differs."""

    n_texts: int = 0
    others: dict[str, float] = field(default_factory=dict)

    def check(self) -> None:
        assert self.n_texts - len(self.others) >= MIN_EQUAL * self.n_texts, self
        assert all(abs(difference) < TIE for difference in self.others.values()), self


def compare_greedy(pair: Pair, recordings: Sequence[Recording], arguments: Mapping[str, Any]) -> None:
    """Assert that the tokens of each recording equal transformers', except for ties."""
    arguments = {"max_new_tokens": MAX_NEW_TOKENS, **arguments}
    prompt = pair.prompt("en")
    rules = rules_at_temperature_0(prompt, arguments)
    texts = set()
    for recording in recordings:
        window = whole_window(recording.waveform())
        answer = pair.oracle.generate(pair.oracle.encode(window), language="en", arguments=arguments)
        state = DecodingState(prompt=prompt, rules=rules)
        pair.model.encode({GREEDY_SLOT: window})
        decode(pair.model, {GREEDY_SLOT: state})
        pair.model.free(GREEDY_SLOT)
        difference = answer.difference(with_eot(state, eot=pair.tokenizer.eot))
        assert difference is None or abs(difference) < TIE, recording.name
        texts.add(tuple(state.sampled))
    assert len(texts) == len(recordings)


def compare_beams(pair: Pair, recordings: Sequence[Recording], arguments: Mapping[str, Any]) -> BeamFigures:
    """Return the number of texts, and those that differ from transformers'. arguments: must have `num_beams`."""
    arguments = {"max_new_tokens": MAX_NEW_TOKENS, **arguments}
    figures = BeamFigures()
    for recording in recordings:
        window = whole_window(recording.waveform())
        features = pair.oracle.encode(window)
        expected, score = pair.oracle.search(features, language="en", arguments=arguments)
        state = _search(pair, window, arguments)
        assert state.search is not None
        figures.n_texts += 1
        if with_eot(state, eot=pair.tokenizer.eot) != expected:
            figures.others[recording.name] = score - state.search.best.score
    return figures


def _search(pair: Pair, window: Tensor, arguments: Mapping[str, Any]) -> DecodingState:
    slots = BEAM_SLOTS[: arguments["num_beams"]]
    prompt = pair.prompt("en")
    pair.model.encode(dict.fromkeys(slots, window))
    rows = rows_in(slots, prompt, rules_at_temperature_0(prompt, arguments))
    decode(pair.model, rows)
    for slot in slots:
        pair.model.free(slot)
    return best_row(list(rows.values()))
