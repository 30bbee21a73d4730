"""The choice of tokens: state, logit filters, sampling, beam, diverse and contrastive search. Knows token ids and
logits; knows no layers, caches or slots.
"""
