"""Contrastive search: proposals, candidates and the choice. tests/parity compares whole texts."""

from __future__ import annotations

import gc
import math

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.decoding_options import ContrastiveOptions, DecodingOptions
from hf_asr_endpoint.whisper.decoding.contrastive_search import ContrastiveSearch, Proposal
from hf_asr_endpoint.whisper.decoding.search_step import DegenerationPenalty, SearchStep
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState, begin_rows

pytestmark = pytest.mark.usefixtures("one_thread")

EOT = 0
N_VOCAB = 12


def proposals(*given: tuple[int, float]) -> list[Proposal]:
    """Return proposals. given: token and probability of each."""
    return [
        Proposal(token=token, probability=probability, logprob=math.log(probability))
        for token, probability in given
    ]


def begin(*, top_k: int = 3, alpha: float = 0.5, max_new_tokens: int = 9) -> ContrastiveSearch:
    return ContrastiveSearch(ContrastiveOptions(top_k=top_k, penalty_alpha=alpha), max_new_tokens=max_new_tokens)


def begin_states(*, top_k: int = 3, alpha: float = 0.5, max_new_tokens: int = 9) -> list[DecodingState]:
    options = DecodingOptions(contrast=ContrastiveOptions(top_k=top_k, penalty_alpha=alpha))
    rules = AttemptRules(max_new_tokens=max_new_tokens, options=options)
    return begin_rows(DecoderPrompt(tokens=(1, 2)), rules)


@pytest.mark.parametrize(
    ("alpha", "chosen"),
    [
        pytest.param(0.1, 0, id="the likeliest"),
        pytest.param(0.4, 1, id="neither extreme"),
        pytest.param(1.0, 2, id="the least similar"),
    ],
)
def test_penalty_alpha_is_the_weight_of_similarity(alpha: float, chosen: int) -> None:
    search = begin(alpha=alpha)
    search.propose(proposals((5, 0.6), (6, 0.35), (7, 0.05)))
    assert search.choose([0.9, 0.3, 0.2], eot=EOT) == chosen
    assert search.chosen == chosen
    assert search.best.tokens == ((5, 6, 7)[chosen],)


def test_the_chosen_tokens_and_their_logprobs_are_the_result() -> None:
    search = begin(alpha=0.5)
    search.propose(proposals((5, 0.5), (6, 0.5)))
    search.choose([0.9, 0.1], eot=EOT)
    search.propose(proposals((7, 0.9), (8, 0.1)))
    search.choose([0.5, 0.5], eot=EOT)
    assert search.best.tokens == (6, 7)
    assert search.best.logprobs == pytest.approx([math.log(0.5), math.log(0.9)])
    assert not search.is_finished


def test_candidates_fill_all_rows() -> None:
    search = begin(top_k=4)
    search.propose(proposals((5, 0.8)))
    search.choose([0.0, 0.0, 0.0, 0.0], eot=EOT)
    search.propose(proposals((6, 0.7), (7, 0.3)))
    assert [text.tokens for text in search.candidates] == [(5, 6), (5, 7), (5, 6), (5, 6)]


def test_a_candidate_that_fills_a_row_is_not_chosen() -> None:
    search = begin(top_k=3, alpha=1.0)
    search.propose(proposals((5, 0.6), (6, 0.4)))
    assert search.choose([0.5, 0.4, -1.0], eot=EOT) == 1


def test_eot_ends_the_search_and_is_not_part_of_the_text() -> None:
    search = begin()
    search.propose(proposals((5, 0.6), (EOT, 0.4)))
    search.choose([0.9, 0.1], eot=EOT)
    assert search.is_finished
    assert (search.best.tokens, len(search.best.logprobs)) == ((), 1)


@pytest.mark.parametrize("max_new_tokens", [1, 3])
def test_max_new_tokens_ends_the_search(max_new_tokens: int) -> None:
    search = begin(max_new_tokens=max_new_tokens)
    for n_tokens in range(1, max_new_tokens + 1):
        search.propose(proposals((5, 0.6), (6, 0.4)))
        search.choose([0.1, 0.1], eot=EOT)
        assert search.is_finished == (n_tokens == max_new_tokens)


def test_candidates_are_the_likeliest_allowed_tokens() -> None:
    logits = torch.randn(3, N_VOCAB, generator=torch.Generator().manual_seed(1))[[0, 0, 0]]
    logits[:, logits[0].argmax()] = -torch.inf
    states = begin_states()
    assert SearchStep(logits, states).advance(logits, eot=EOT) == {}
    best = logits[0].softmax(dim=0).topk(3)
    assert [state.sampled for state in states] == [[token] for token in best.indices.tolist()]
    expected = best.values.log().tolist()
    assert [state.logprobs[0] for state in states] == pytest.approx(expected, abs=1e-5)


def test_forbidden_tokens_are_not_candidates() -> None:
    """In transformers they are, if fewer tokens are allowed than there are candidates."""
    logits = torch.full((3, N_VOCAB), -torch.inf)
    logits[:, [4, 9]] = torch.tensor([1.0, 2.0])
    states = begin_states()
    SearchStep(logits, states).advance(logits, eot=EOT)
    assert [state.sampled for state in states] == [[9], [4], [9]]


def step(
    states: list[DecodingState], degeneration_penalty: DegenerationPenalty, features: Tensor, logits: Tensor
) -> dict[int, int]:
    degeneration_penalty.choose(states, features, eot=EOT)
    return SearchStep(logits, states).advance(logits, eot=EOT)


def test_candidates_are_compared_with_the_prompt_and_all_chosen_tokens() -> None:
    one, two, three = torch.eye(4)[:3]
    states, degeneration_penalty = begin_states(alpha=0.9), DegenerationPenalty()
    degeneration_penalty.remember(states[:1], torch.stack([one, one])[None])
    logits = torch.zeros(3, N_VOCAB)
    logits[:, 5:8] = torch.tensor([4.0, 3.0, 2.0])
    SearchStep(logits, states).advance(logits, eot=EOT)
    # The third is similar to no earlier token. The length of features does not matter.
    assert step(states, degeneration_penalty, torch.stack([9 * one, two + one, 0.1 * two]), logits) == {0: 2, 1: 2}
    assert [state.sampled for state in states] == [[7, 5], [7, 6], [7, 7]]
    # Now the first candidate repeats the text, and the third one the prompt.
    assert step(states, degeneration_penalty, torch.stack([two, three, one]), logits) == {0: 1, 2: 1}
    assert [state.sampled for state in states] == [[7, 6, 5], [7, 6, 6], [7, 6, 7]]


def test_all_rows_get_the_result() -> None:
    states, degeneration_penalty = begin_states(max_new_tokens=1), DegenerationPenalty()
    degeneration_penalty.remember(states[:1], torch.ones(1, 2, 4))
    logits = torch.zeros(3, N_VOCAB)
    logits[:, 6] = 9.0
    SearchStep(logits, states).advance(logits, eot=EOT)
    assert step(states, degeneration_penalty, torch.ones(3, 4), logits) == {}
    assert all(state.is_finished and state.is_cut_off and state.sampled == [6] for state in states)


def test_searches_in_one_batch_do_not_affect_each_other() -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = begin_states(top_k=2), begin_states(top_k=3)
    alone = [begin_states(top_k=2), begin_states(top_k=3)]
    rows, own = [second[0], first[0], second[1], first[1], second[2]], [[1, 3], [0, 2, 4]]
    degeneration_penalty = DegenerationPenalty()
    prompts = torch.randn(2, 3, 4, generator=generator)
    degeneration_penalty.remember([first[0], second[0]], prompts)
    for number, states in enumerate(alone):
        degeneration_penalty.remember(states[:1], prompts[number : number + 1])
    for _ in range(4):
        logits, features = (torch.randn(5, size, generator=generator) for size in (N_VOCAB, 4))
        if first[0].sampled:
            degeneration_penalty.choose(rows, features, eot=EOT)
        SearchStep(logits, rows).advance(logits, eot=EOT)
        for states, of_states in zip(alone, own, strict=True):
            if states[0].sampled:
                degeneration_penalty.choose(states, features[of_states], eot=EOT)
            SearchStep(logits[of_states], states).advance(logits[of_states], eot=EOT)
    assert [state.sampled for state in first] == [state.sampled for state in alone[0]]
    assert [state.sampled for state in second] == [state.sampled for state in alone[1]]


def test_the_features_of_a_finished_search_are_dropped() -> None:
    degeneration_penalty = DegenerationPenalty()
    degeneration_penalty.remember(begin_states()[:1], torch.ones(1, 2, 4))
    gc.collect()
    assert len(degeneration_penalty) == 0
