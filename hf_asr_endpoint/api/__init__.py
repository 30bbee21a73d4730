"""HTTP: requests to options, transcriptions to bodies. Knows dialects; knows no tensors and no tokens."""
