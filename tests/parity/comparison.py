"""Compares greedy decoding of many recordings, alone and in a batch, with transformers'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hf_asr_endpoint.whisper.decoding.state import DecodingState
from tests.parity.conftest import Pair
from tests.parity.decoding import N_SLOTS, WHOLE, decode, greedy, likeliest, with_eot
from tests.parity.oracle import TIE, Answer
from tests.parity.recordings import Recording, whole_window

PROBABILITY_TOLERANCE = 1e-4


@dataclass(slots=True, kw_only=True)
class Figures:
    """The results. ties: differences of two logits that are a tie, by answer. wrong: all other differences."""

    n_recordings: int = 0
    n_answers: int = 0
    ties: dict[str, float] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        n_equal = self.n_answers - len(self.ties) - len(self.wrong)
        lines = [f"{self.n_recordings} recordings, {self.n_answers} answers: {n_equal} equal"]
        lines += [f"tie: {name}: {difference:.2g}" for name, difference in self.ties.items()]
        lines += [f"WRONG: {name}: {what}" for name, what in self.wrong.items()]
        return "\n".join(lines)


def compare(pair: Pair, recordings: Sequence[Recording]) -> Figures:
    """Decode every recording alone and in a batch of 16, and compare both answers with transformers'."""
    figures = Figures()
    for begin in range(0, len(recordings), N_SLOTS):
        _compare_batch(pair, recordings[begin : begin + N_SLOTS], figures)
    return figures


def _compare_batch(pair: Pair, recordings: Sequence[Recording], figures: Figures) -> None:
    alone: dict[int, DecodingState] = {}
    together: dict[int, DecodingState] = {}
    answers: dict[int, Answer] = {}
    for slot, recording in enumerate(recordings):
        window = whole_window(recording.waveform())
        features = pair.oracle.encode(window)
        language = pair.oracle.language(features)
        answers[slot] = pair.oracle.generate(features, language=language)
        prompt = pair.prompt(language)
        alone[slot], together[slot] = greedy(prompt), greedy(prompt)
        (scores,) = pair.model.encode({slot: window}, spans={slot: [WHOLE]})[slot]
        decode(pair.model, {slot: alone[slot]})
        figures.n_recordings += 1
        detected = pair.vocabulary.language(likeliest(scores))
        if detected != language:
            figures.wrong[f"{recording.name} language"] = f"{detected}, transformers detects {language}"
        expected = pair.oracle.no_speech_prob(features, prompt)
        if abs(alone[slot].no_speech_prob - expected) > PROBABILITY_TOLERANCE:
            figures.wrong[f"{recording.name} no_speech_prob"] = f"{alone[slot].no_speech_prob} for {expected}"
    decode(pair.model, together)
    for slot, recording in enumerate(recordings):
        for way, states in (("alone", alone), ("in a batch", together)):
            _count(f"{recording.name} {way}", answers[slot], states[slot], figures, eot=pair.tokenizer.eot)
        pair.model.free(slot)


def _count(name: str, answer: Answer, state: DecodingState, figures: Figures, *, eot: int) -> None:
    figures.n_answers += 1
    difference = answer.difference(with_eot(state, eot=eot))
    if difference is None:
        expected = sum(
            float(scores.log_softmax(dim=0)[token])
            for scores, token in zip(answer.scores, answer.tokens, strict=True)
        )
        if abs(state.sum_logprob - expected) > TIE * len(answer.tokens):
            figures.wrong[name] = f"sum_logprob {state.sum_logprob}, transformers' {expected}"
    elif abs(difference) < TIE:
        figures.ties[name] = difference
    else:
        figures.wrong[name] = f"another token, whose logit is {difference} lower"
