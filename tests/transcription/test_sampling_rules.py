"""What the options ask of each step of the ladder."""

from __future__ import annotations

from dataclasses import replace

from hf_asr_endpoint.transcription.fallback import Step, n_slots, sampling_rules
from hf_asr_endpoint.types import DecodingOptions
from hf_asr_endpoint.whisper.beam_search import BeamRules
from hf_asr_endpoint.whisper.decoding_state import DecoderPrompt, SamplingRules


def rules_at(temperature: float, options: DecodingOptions) -> SamplingRules:
    step = Step(temperature=temperature, is_whole=True)
    return sampling_rules(options, step, prompt=DecoderPrompt(tokens=(1,)))


def test_beams_are_searched_with_at_temperature_0_only() -> None:
    options = DecodingOptions(
        num_beams=3, early_stopping="never", length_penalty=0.5, patience=2.0, beam_temperature=1.5
    )
    assert rules_at(0.0, options).beams == BeamRules(
        num_beams=3, early_stopping="never", length_penalty=0.5, patience=2.0, temperature=1.5
    )
    assert rules_at(0.4, options).beams is None


def test_one_beam_is_greedy_decoding() -> None:
    assert rules_at(0.0, DecodingOptions()).beams is None


def test_beams_need_slots_where_they_are_ever_searched_with() -> None:
    options = DecodingOptions(num_beams=3)
    assert n_slots(options) == 3
    assert n_slots(replace(options, temperatures=(0.4,))) == 1
    assert n_slots(replace(options, num_beams=1)) == 1
