"""The forward pass: encoder and decoder over fused layers, their linear layers and the encoder's attention.

Knows weights and activations; knows neither what tokens mean nor how caches are laid out.
"""
