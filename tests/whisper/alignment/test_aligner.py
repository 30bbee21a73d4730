from __future__ import annotations

from hf_asr_endpoint.whisper.alignment.aligner import select_alignment_heads

BASE = [[3, 1], [4, 2], [4, 3], [4, 7], [5, 1], [5, 2], [5, 4], [5, 6]]
LARGE = [[7, 0], [10, 17], [12, 18], [13, 12], [16, 1], [17, 14], [19, 11], [21, 4], [24, 1], [25, 6]]


def test_without_alignment_heads_the_last_half_of_the_layers_is_averaged() -> None:
    expected = [(2, 0), (2, 1), (3, 0), (3, 1)]
    assert select_alignment_heads(None, n_layers=4, n_heads=2) == expected
    assert select_alignment_heads([], n_layers=4, n_heads=2) == expected


def test_alignment_heads_are_averaged_with_the_last_half_of_the_layers() -> None:
    assert select_alignment_heads([[0, 1], [3, 0]], n_layers=4, n_heads=2) == [
        (0, 1),
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
    ]
    assert len(select_alignment_heads(BASE, n_layers=6, n_heads=8)) == 24


def test_a_large_model_uses_its_alignment_heads_alone() -> None:
    assert select_alignment_heads(LARGE, n_layers=32, n_heads=20) == [(layer, head) for layer, head in LARGE]


def test_heads_that_a_distilled_model_does_not_have_are_ignored() -> None:
    assert select_alignment_heads(LARGE, n_layers=2, n_heads=20) == [(1, head) for head in range(20)]
