from __future__ import annotations

import pytest

from bench.accuracy import word_errors


def test_wer_is_over_all_words_of_normalised_texts() -> None:
    errors = word_errors(["Mr. Hale said: no!", "it's one"], ["mister hale said no", "it is two"])
    assert errors.n_words == 7
    assert errors.wer == pytest.approx(100 / 7)
