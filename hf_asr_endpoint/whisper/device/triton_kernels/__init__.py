"""Kernels in Triton for the operations of a step. Imported where Triton is installed, and only by `operations`."""
