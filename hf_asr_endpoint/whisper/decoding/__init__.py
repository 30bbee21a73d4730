"""Choosing tokens from logits: decoding state, logit filters, sampling, and beam, diverse and contrastive search.

Knows token ids, logits and options. Does not know layers, KV caches, slots or text.
"""
