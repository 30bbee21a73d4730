"""Phases that measure single parts of the GPU path, beside forms that the engine does not have yet.

Not in the engine: the product with GELU as its epilogue (`gelu_kernel`, `hidden_layers`), cuDNN's ragged attention
(`ragged_attention`), speech probabilities on the device (`audio_batch`).
"""
