"""Groups of beams that avoid the tokens of earlier groups. tests/parity compares whole texts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hf_asr_endpoint.decoding_options import BeamOptions, DecodingOptions
from hf_asr_endpoint.whisper.decoding.beam_search import DiverseSearch
from hf_asr_endpoint.whisper.decoding.search_step import SearchStep
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState, begin_rows

pytestmark = pytest.mark.usefixtures("one_thread")

EOT = 0
N_VOCAB = 12
PROMPT = (1, 2)
TOLERANCE = 1e-4


def begin_groups(
    *, num_beams: int = 4, n_groups: int = 2, max_new_tokens: int = 9, **options: Any
) -> list[DecodingState]:
    decoding = DecodingOptions(beams=BeamOptions(num_beams=num_beams, num_beam_groups=n_groups, **options))
    return begin_rows(DecoderPrompt(tokens=PROMPT), AttemptRules(max_new_tokens=max_new_tokens, options=decoding))


def advance(logits: Tensor, rows: list[DecodingState]) -> None:
    logits = logits.clone()
    SearchStep(logits, rows).advance(logits, eot=EOT)


def tokens_of(rows: list[DecodingState]) -> list[list[int]]:
    return [row.sampled for row in rows]


def test_later_groups_avoid_tokens_of_earlier_groups_in_the_same_step() -> None:
    """Three groups of one beam. The penalty for a token is 1 for each earlier group that chose it."""
    logits = torch.full((3, N_VOCAB), -9.0)
    logits[:, 4:8] = torch.tensor([5.0, 4.5, 4.2, 0.0])
    rows = begin_groups(num_beams=3, n_groups=3, diversity_penalty=1.0)
    advance(logits, rows)
    assert tokens_of(rows) == [[4], [5], [6]]
    allowed = logits[0].log_softmax(dim=0)
    search = rows[0].search
    assert isinstance(search, DiverseSearch)
    assert [beam.score for beam in search.beams] == pytest.approx(allowed[4:7].tolist(), abs=TOLERANCE)
    assert [row.logprobs[0] for row in rows] == pytest.approx(allowed[4:7].tolist(), abs=TOLERANCE)


def test_the_penalty_counts_beams_and_is_part_of_the_score_but_not_of_the_logprobs() -> None:
    logits = torch.full((4, N_VOCAB), -9.0)
    logits[:, 4:6] = torch.tensor([9.0, 1.0])
    rows = begin_groups(diversity_penalty=0.5)
    advance(logits, rows)
    advance(logits, rows)
    search = rows[0].search
    assert isinstance(search, DiverseSearch)
    of_first, of_second = search.groups[0].beams[0], search.groups[1].beams[0]
    assert of_second.tokens == (4, 4)
    # In the first step one of the two beams chose 4; in the second step one or both.
    chosen = [beam.tokens[-1] for beam in search.groups[0].beams].count(4)
    assert of_first.score - of_second.score == pytest.approx(0.5 + 0.5 * chosen, abs=TOLERANCE)
    assert of_second.logprobs == pytest.approx(of_first.logprobs, abs=TOLERANCE)


def test_beam_temperature_does_not_change_the_penalty() -> None:
    logits = torch.zeros(2, N_VOCAB)
    logits[:, 4:6] = torch.tensor([5.0, 2.0])
    for penalty, second in ((0.7, 4), (0.8, 5)):
        rows = begin_groups(num_beams=2, diversity_penalty=penalty, beam_temperature=4.0)
        advance(logits, rows)
        assert tokens_of(rows) == [[4], [second]], "the scores differ by 3 / 4, between the two penalties"


def test_logit_filters_see_penalised_logits() -> None:
    """As with the order of transformers' processors, so the penalties affect the rules about timestamps."""
    logits = torch.zeros(2, N_VOCAB)
    logits[:, 4:7] = torch.tensor([5.0, 4.0, 3.0])

    def keep_the_likeliest(given: Tensor, states: Any) -> None:
        given[given < given.amax(dim=1, keepdim=True)] = -torch.inf

    rows = begin_groups(num_beams=2, diversity_penalty=1.5)
    step = SearchStep(logits, rows)
    keep_the_likeliest(logits, rows)
    step.advance(logits, eot=EOT, filter_again=keep_the_likeliest)
    assert tokens_of(rows) == [[4], [5]]
    assert [row.logprobs[0] for row in rows] == pytest.approx([0.0, 0.0], abs=TOLERANCE)


def test_later_groups_are_penalised_for_eot_after_a_group_has_finished() -> None:
    """As in transformers, which pads a finished group with eot."""
    logits = torch.full((2, N_VOCAB), -9.0)
    logits[:, 4] = 3.0
    rows = begin_groups(num_beams=2, diversity_penalty=2.0, early_stopping=True)
    advance(logits, rows)
    ends = logits.clone()
    ends[0, EOT] = 5.0
    advance(ends, rows)
    search = rows[0].search
    assert isinstance(search, DiverseSearch)
    assert [group.is_finished for group in search.groups] == [True, False]
    almost = logits.clone()
    almost[1, EOT] = 4.5
    advance(almost, rows)
    assert not search.is_finished, "4.5 - 2 < 3"
    almost[1, EOT] = 5.5
    advance(almost, rows)
    assert search.is_finished
    assert all(row.is_finished and row.sampled == rows[0].sampled for row in rows)


def test_the_result_is_the_best_of_all_groups() -> None:
    logits = torch.full((2, N_VOCAB), -9.0)
    logits[0, 4], logits[1, 5] = 0.0, 9.0
    rows = begin_groups(num_beams=2, max_new_tokens=1, diversity_penalty=0.1)
    advance(logits, rows)
    assert tokens_of(rows) == [[5], [5]]
