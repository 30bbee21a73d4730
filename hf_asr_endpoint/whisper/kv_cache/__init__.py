"""Keys and values of the decoder's attention, by slot, each with the attention that reads them.

Self-attention's grow by one token a step; cross-attention's are fixed for a window. The dense caches work on any
device; those in bfloat16 and in 8-bit integers need kernels. Knows tensors and slots; knows no weights and no
tokens.
"""
