"""The forward pass: encoder and decoder over fused layers, and their linear layers and attention.

Knows weights and activations; knows neither what tokens mean nor how caches are laid out.
"""
