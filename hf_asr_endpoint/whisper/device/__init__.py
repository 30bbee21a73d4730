"""The model on a GPU: static caches by slot, whole steps as graphs, encoding beside decoding, batches of windows.

Knows tensors, slots and an accelerator's streams. Everything runs on the CPU as well, eagerly, for tests. Does not
know sequences or text. Only `triton_kernels` imports Triton.
"""
