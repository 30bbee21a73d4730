from __future__ import annotations

import torch

from hf_asr_endpoint.whisper.model.layers import row_padding
from tests.whisper.conftest import needs_tiles


def test_batches_have_few_sizes_whose_spare_rows_are_zeros() -> None:
    """Every further size cost 5 MB for as long as the process lived."""
    with_spare_rows = row_padding(arithmetic="float", like=torch.zeros(1))
    sizes = set()
    for n_rows in range(1, 97):
        x = torch.randn(n_rows, 4)
        padded = with_spare_rows(x)
        torch.testing.assert_close(padded[:n_rows], x)
        assert not padded[n_rows:].any()
        sizes.add(len(padded))
    assert sizes == {1, 2, 4, 8, 16, 24, 32, 48, 64, 96}


@needs_tiles
def test_tiles_need_no_spare_rows() -> None:
    add = row_padding(arithmetic="int8", like=torch.zeros(1, dtype=torch.bfloat16))
    assert [len(add(torch.zeros(n_rows, 4))) for n_rows in (5, 11)] == [5, 11]
