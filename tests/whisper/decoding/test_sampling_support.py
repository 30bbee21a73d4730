"""The filters keep exactly the tokens that transformers keeps, for random logits and filters."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

from hf_asr_endpoint.decoding_options import MAX_TEMPERATURE, MIN_TEMPERATURE, DecodingOptions, SamplingFilters
from hf_asr_endpoint.whisper.decoding.sampling import choose_tokens, filter_scores
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState

pytestmark = pytest.mark.usefixtures("one_thread")

N_VOCAB = 24
N_DRAWS = 10

# Few distinct values give tokens of equal probability, which test the edges of filters.
logits_of_tokens = st.lists(
    st.one_of(st.just(-math.inf), st.integers(-3, 3).map(float), st.floats(-8, 8, width=32)),
    min_size=N_VOCAB,
    max_size=N_VOCAB,
).filter(lambda logits: max(logits) > -math.inf)

probabilities = st.floats(0, 1, exclude_min=True)
# Useful cutoffs are small: 0.0003 to 0.004.
cutoffs = st.one_of(st.floats(0, 0.01), st.floats(0, 1, exclude_max=True))
values_of = {
    "top_k": st.integers(0, N_VOCAB + 5),
    "top_p": probabilities,
    "typical_p": probabilities,
    "epsilon_cutoff": cutoffs,
    "eta_cutoff": cutoffs,
}
# Single filters too: in combination a filter seldom decides.
filters_of_sampling = st.one_of(
    st.fixed_dictionaries({}, optional=values_of),
    *[st.fixed_dictionaries({name: values}) for name, values in values_of.items()],
)
temperatures = st.one_of(st.sampled_from([MIN_TEMPERATURE, 0.2, 1.0, MAX_TEMPERATURE]), st.floats(0.5, 2.0))


@pytest.fixture(scope="module")
def language_model() -> GPT2LMHeadModel:
    """Return a model whose only use is to build logits processors from a configuration."""
    return GPT2LMHeadModel(GPT2Config(vocab_size=N_VOCAB, n_embd=4, n_layer=1, n_head=1))


def kept_by_transformers(
    language_model: GPT2LMHeadModel, logits: Tensor, *, temperature: float, filters: dict[str, Any]
) -> Tensor:
    """Return the tokens that transformers' processors keep, shape = (n_vocab,)."""
    config = GenerationConfig(do_sample=True, temperature=temperature, **{"top_k": 0, **filters})
    processors = language_model._get_logits_processor(config)
    before = torch.zeros((1, 1), dtype=torch.int64)
    left: Tensor = processors(before, logits[None].clone())[0] > -torch.inf
    return left


@settings(deadline=None, derandomize=True, database=None, max_examples=800)
@example(values=[token / 10 for token in range(N_VOCAB)], filters={"epsilon_cutoff": 0.9}, temperature=1.0)
@given(values=logits_of_tokens, filters=filters_of_sampling, temperature=temperatures)
def test_the_support_equals_that_of_transformers(
    language_model: GPT2LMHeadModel, values: list[float], filters: dict[str, Any], temperature: float
) -> None:
    logits = torch.tensor(values)
    expected = kept_by_transformers(language_model, logits, temperature=temperature, filters=filters)
    found = filter_scores(logits / temperature, SamplingFilters(**filters)) > -torch.inf
    assert torch.equal(found, expected)
    options = DecodingOptions(filters=SamplingFilters(**filters))
    rules = AttemptRules(max_new_tokens=99, temperature=temperature, options=options)
    state = DecodingState(prompt=DecoderPrompt(tokens=(1,)), rules=rules)
    drawn = {choose_tokens(logits[None], [state])[0][0] for _ in range(N_DRAWS)}
    assert all(expected[token] for token in drawn)
