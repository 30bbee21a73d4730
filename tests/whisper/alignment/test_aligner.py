from __future__ import annotations

from hf_asr_endpoint.whisper.alignment.aligner import select_alignment_heads

BASE = [[3, 1], [4, 2], [4, 3], [4, 7], [5, 1], [5, 2], [5, 4], [5, 6]]
LARGE = [[7, 0], [10, 17], [12, 18], [13, 12], [16, 1], [17, 14], [19, 11], [21, 4], [24, 1], [25, 6]]


def test_without_alignment_heads_all_of_the_last_half_of_the_layers_are_averaged() -> None:
    expected = [(2, 0), (2, 1), (3, 0), (3, 1)]
    assert select_alignment_heads(None, n_layers=4, n_heads=2) == expected
    assert select_alignment_heads([], n_layers=4, n_heads=2) == expected


def test_alignment_heads_are_among_those_averaged() -> None:
    assert select_alignment_heads([[0, 1], [3, 0]], n_layers=4, n_heads=2) == [
        (0, 1),
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
    ]
    assert len(select_alignment_heads(BASE, n_layers=6, n_heads=8)) == 24


def test_in_a_large_model_the_alignment_heads_are_not_lost_among_others() -> None:
    assert select_alignment_heads(LARGE, n_layers=32, n_heads=20) == [(layer, head) for layer, head in LARGE]


def test_a_distilled_models_list_of_its_teachers_heads_is_left_out() -> None:
    assert select_alignment_heads(LARGE, n_layers=2, n_heads=20) == [(1, head) for head in range(20)]
