"""Keys and values of the decoder's attention, by slot, in dense and in integer forms.

Self-attention grows by one token a step; cross-attention is fixed for a window. Knows tensors and slots; knows no
weights and no tokens.
"""
