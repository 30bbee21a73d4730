from __future__ import annotations

import torch

from hf_asr_endpoint.whisper.model.layers import row_padding
from tests.whisper.levels import HERE, kernels_of, needs_kernels


def test_batches_are_padded_with_zeros_to_a_few_sizes() -> None:
    """Each new size made oneDNN compile 5 MB of code that stayed in memory."""
    pad_rows = row_padding(arithmetic="float", kernels=None)
    sizes = set()
    for n_rows in range(1, 97):
        x = torch.randn(n_rows, 4)
        padded = pad_rows(x)
        torch.testing.assert_close(padded[:n_rows], x)
        assert not padded[n_rows:].any()
        sizes.add(len(padded))
    assert sizes == {1, 2, 4, 8, 16, 24, 32, 48, 64, 96}


@needs_kernels
def test_batches_for_the_int8_kernel_are_not_padded() -> None:
    kernels = kernels_of(HERE[0])
    pad_rows = row_padding(arithmetic="int8", kernels=kernels)
    assert [len(pad_rows(torch.zeros(n_rows, 4))) for n_rows in (5, 11)] == [5, 11]
    assert len(row_padding(arithmetic="float", kernels=kernels)(torch.zeros(5, 4))) == 8
