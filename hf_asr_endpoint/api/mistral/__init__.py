"""Mistral's transcriptions, for Mistral's SDKs, which ask on OpenAI's path and are known by their User-Agent.

Source: `mistralai` on PyPI, `@mistralai/mistralai` on npm (`audio.transcriptions.complete` and `.stream`).
"""
