"""A Whisper server for speech-to-text clients: several HTTP dialects over one engine."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("hf-asr-endpoint")
except PackageNotFoundError:  # Copied next to a handler.py instead of installed: see handler.py.
    __version__ = "unknown"
