"""Beam search gives the texts and scores of transformers', over a small language model, and has `patience`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from hf_asr_endpoint.decoding_options import BeamOptions, DecodingOptions
from hf_asr_endpoint.whisper.decoding.beam_search import BeamSearch, Candidate
from hf_asr_endpoint.whisper.decoding.search_step import SearchStep
from hf_asr_endpoint.whisper.decoding.state import (
    AttemptRules,
    DecoderPrompt,
    DecodingState,
    begin_rows,
    best_row,
)

pytestmark = pytest.mark.usefixtures("one_thread")

EOT = 0
N_VOCAB = 12
PROMPT = (1, 2)
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def language_model() -> GPT2LMHeadModel:
    """Return a model with random weights, large enough that texts differ in tokens and length."""
    torch.manual_seed(0)
    shape = {"vocab_size": N_VOCAB, "n_positions": 40, "n_embd": 16, "n_layer": 1, "n_head": 2}
    config = GPT2Config(**shape, bos_token_id=1, eos_token_id=EOT, tie_word_embeddings=False)
    model = GPT2LMHeadModel(config).eval()
    for name, parameter in model.named_parameters():
        if "ln" not in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def attempt(beams: BeamOptions, *, max_new_tokens: int) -> AttemptRules:
    return AttemptRules(max_new_tokens=max_new_tokens, options=DecodingOptions(beams=beams))


@torch.inference_mode()
def search(
    model: GPT2LMHeadModel, options: BeamOptions, *, prompt: tuple[int, ...], max_new_tokens: int
) -> BeamSearch:
    """Search as the speech model does, but feed whole texts in every step. Check the sources of beams."""
    rows = begin_rows(DecoderPrompt(tokens=prompt), attempt(options, max_new_tokens=max_new_tokens))
    while not rows[0].is_finished:
        before = [tuple(row.sampled) for row in rows]
        logits = model(torch.tensor([[*prompt, *text] for text in before])).logits[:, -1]
        sources = SearchStep(logits, rows).advance(logits, eot=EOT)
        if not rows[0].is_finished:
            assert all(row.sampled[:-1] == list(before[sources.get(n, n)]) for n, row in enumerate(rows))
    assert rows[0].search is not None
    assert all(row.sampled == rows[0].sampled and row.is_finished for row in rows)
    return rows[0].search


@torch.inference_mode()
def transformers_searches(
    model: GPT2LMHeadModel, *, prompts: Sequence[tuple[int, ...]], max_new_tokens: int, **arguments: Any
) -> list[tuple[list[int], float]]:
    """Search for each prompt, all in one batch; return texts and scores. prompts: of one length."""
    output = model.generate(
        torch.tensor(prompts),
        attention_mask=torch.ones(len(prompts), len(prompts[0]), dtype=torch.int64),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        pad_token_id=EOT,
        return_dict_in_generate=True,
        output_scores=True,
        **arguments,
    )
    n_generated = (output.beam_indices >= 0).sum(dim=1).tolist()
    sampled = [
        tokens[len(prompts[0]) :][:n] for tokens, n in zip(output.sequences.tolist(), n_generated, strict=True)
    ]
    texts = [[token for token in tokens if token != EOT] for tokens in sampled]
    return list(zip(texts, output.sequences_scores.tolist(), strict=True))


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
@pytest.mark.parametrize("num_beams", [2, 3, 5])
def test_texts_and_scores_are_those_of_transformers(
    language_model: GPT2LMHeadModel, num_beams: int, early_stopping: bool | Literal["never"]
) -> None:
    texts = set()
    prompts = [(*PROMPT, first) for first in range(1, N_VOCAB)]
    for length_penalty, max_new_tokens in itertools.product((1.0, 0.0, -1.5, 2.0), (1, 4, 12)):
        arguments = {"num_beams": num_beams, "early_stopping": early_stopping, "length_penalty": length_penalty}
        expected = transformers_searches(
            language_model, prompts=prompts, max_new_tokens=max_new_tokens, **arguments
        )
        options = BeamOptions(num_beams=num_beams, early_stopping=early_stopping, length_penalty=length_penalty)
        for prompt, (text, score) in zip(prompts, expected, strict=True):
            found = search(language_model, options, prompt=prompt, max_new_tokens=max_new_tokens).best
            assert list(found.tokens) == text
            assert found.score == pytest.approx(score, rel=TOLERANCE, abs=TOLERANCE)
            texts.add(found.tokens)
    assert len(texts) >= 15
    assert len({len(text) for text in texts}) >= 4


def candidates(*given: tuple[int, int, float]) -> list[Candidate]:
    """Return candidates. given: beam, token and score of each."""
    return [Candidate(beam=beam, token=token, score=score, logprob=-0.5) for beam, token, score in given]


def steps_until_finished(options: BeamOptions, *, score: float = -1.0) -> int:
    """Return the number of steps of a search in which every step finishes one hypothesis, all equally good."""
    searching = BeamSearch(options, max_new_tokens=50)
    for n_tokens in range(1, 50):
        total = score * n_tokens
        searching.advance(candidates((0, EOT, total), (0, 4, total), (0, 5, total), (0, 6, total)), eot=EOT)
        if searching.is_finished:
            return n_tokens
    raise AssertionError("the search does not end")


@pytest.mark.parametrize(("patience", "n_finished"), [(1.0, 2), (2.0, 4), (2.5, 5), (0.5, 1), (0.1, 1)])
def test_a_search_with_patience_waits_for_more_finished_hypotheses(patience: float, n_finished: int) -> None:
    options = BeamOptions(num_beams=2, early_stopping=True, patience=patience)
    assert steps_until_finished(options) == n_finished


def test_beams_that_continue_keep_their_index() -> None:
    searching = BeamSearch(BeamOptions(num_beams=3), max_new_tokens=9)
    assert searching.advance(candidates((0, 4, -1.0), (0, 5, -2.0), (0, 6, -3.0)), eot=EOT) == [0, 0, 0]
    assert [beam.tokens for beam in searching.beams] == [(4,), (5,), (6,)]
    found = searching.advance(candidates((2, 7, -3.5), (1, 7, -3.6), (2, 8, -3.7), (0, 7, -3.8)), eot=EOT)
    assert found == [2, 1, 2]
    assert [beam.tokens for beam in searching.beams] == [(6, 8), (5, 7), (6, 7)]
    assert [beam.score for beam in searching.beams] == [-3.7, -3.6, -3.5]


def test_only_the_best_num_beams_candidates_can_finish() -> None:
    searching = BeamSearch(BeamOptions(num_beams=2), max_new_tokens=9)
    searching.advance(candidates((0, 4, -1.0), (0, 5, -2.0), (0, EOT, -3.0)), eot=EOT)
    assert searching.finished == []
    searching.advance(candidates((0, 4, -1.5), (1, EOT, -2.5), (1, 5, -2.6), (0, EOT, -3.0)), eot=EOT)
    assert [(text.tokens, text.score) for text in searching.finished] == [((5,), -1.25)]


def test_with_fewer_allowed_tokens_than_beams_placeholders_fill_the_rest() -> None:
    searching = BeamSearch(BeamOptions(num_beams=3), max_new_tokens=9)
    assert searching.advance(candidates((0, 4, -1.0)), eot=EOT) == [0, 0, 0]
    assert [beam.score for beam in searching.beams] == [-1.0, -math.inf, -math.inf]
    searching.advance(candidates((0, 5, -1.1), (0, 6, -1.2), (0, 7, -1.3)), eot=EOT)
    assert [beam.tokens for beam in searching.beams] == [(4, 5), (4, 6), (4, 7)]


@pytest.mark.parametrize(("max_new_tokens", "is_cut_off"), [(1, True), (5, False)])
def test_a_result_has_log_probabilities_among_the_allowed_tokens(max_new_tokens: int, is_cut_off: bool) -> None:
    """But beams are ranked by log-probabilities among all tokens."""
    beams = BeamOptions(num_beams=2, early_stopping=True, patience=0.5)
    rows = begin_rows(DecoderPrompt(tokens=PROMPT), attempt(beams, max_new_tokens=max_new_tokens))
    allowed = []
    for likeliest in (4, EOT)[:max_new_tokens]:
        logits = torch.zeros(2, N_VOCAB)
        logits[:, EOT] = -9.0
        logits[:, likeliest] = 5.0
        step = SearchStep(logits, rows)
        logits[:, 6:] = -torch.inf
        allowed.append(float(logits[0].log_softmax(dim=0)[likeliest]))
        step.advance(logits, eot=EOT)
    state = best_row(rows)
    assert state.is_finished
    assert (state.sampled, state.is_cut_off) == ([4], is_cut_off)
    assert state.logprobs == pytest.approx(allowed, abs=TOLERANCE)
    assert state.avg_logprob == pytest.approx(sum(allowed) / 2, abs=TOLERANCE)
    assert state.search is not None
    assert state.search.best.score < sum(allowed) / len(allowed) - 0.01


def test_beam_temperature_divides_the_logits_that_beams_are_ranked_by() -> None:
    logits = torch.randn(1, N_VOCAB, generator=torch.Generator().manual_seed(1))
    logits[:, EOT] = -9.0
    logits = logits.repeat(3, 1)
    beams = BeamOptions(num_beams=3, beam_temperature=4.0)
    rows = begin_rows(DecoderPrompt(tokens=PROMPT), attempt(beams, max_new_tokens=5))
    SearchStep(logits, rows).advance(logits, eot=EOT)
    best = (logits[0] / 4).log_softmax(dim=0).topk(3)
    search = rows[0].search
    assert search is not None
    assert [beam.tokens[0] for beam in search.beams] == best.indices.tolist()
    assert [beam.score for beam in search.beams] == pytest.approx(best.values.tolist(), abs=TOLERANCE)
    expected = logits[0].log_softmax(dim=0)[best.indices].tolist()
    assert [row.logprobs[0] for row in rows] == pytest.approx(expected, abs=TOLERANCE)


def test_searches_and_single_rows_in_one_batch_do_not_affect_each_other() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(6, N_VOCAB, generator=generator)

    def begin() -> list[list[DecodingState]]:
        return [
            begin_rows(DecoderPrompt(tokens=PROMPT), attempt(beams, max_new_tokens=5))
            for beams in (BeamOptions(num_beams=2), BeamOptions(num_beams=1), BeamOptions(num_beams=3))
        ]

    together, apart = begin(), begin()
    parts = [[0, 2], [1], [3, 4, 5]]
    mixed = [together[0][0], together[1][0], together[0][1], *together[2]]
    step = SearchStep(logits, mixed)
    others, of_others = step.others(logits)
    assert [id(state) for state in others] == [id(together[1][0])]
    assert torch.equal(of_others, logits[[1]])
    sources = step.advance(logits, eot=EOT)
    assert sources == {2: 0, 4: 3, 5: 3}
    for number in (0, 2):
        own = logits[parts[number]]
        SearchStep(own, apart[number]).advance(own, eot=EOT)
        assert [row.sampled for row in together[number]] == [row.sampled for row in apart[number]]
    assert together[1][0].sampled == []


def test_never_stopping_early_with_a_negative_length_penalty_uses_the_current_length() -> None:
    """With a positive one "never" uses the maximum length, which would end this search too early."""
    options = BeamOptions(num_beams=2, early_stopping="never", length_penalty=-1.0)
    searching = BeamSearch(options, max_new_tokens=9)
    searching.advance(candidates((0, 4, -0.1), (0, 5, -0.2)), eot=EOT)
    searching.advance(candidates((0, EOT, -0.3), (1, EOT, -0.4), (0, 4, -0.35), (1, 4, -0.5)), eot=EOT)
    assert [text.score for text in searching.finished] == pytest.approx([-0.6, -0.8])
    assert not searching.is_finished
