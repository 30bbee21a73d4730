from __future__ import annotations

import ctypes
import sys

import pytest

from hf_asr_endpoint.whisper import process


def windows_cdll(name: str | None) -> ctypes.CDLL:
    raise TypeError("argument of type 'NoneType' is not iterable")


def test_windows_has_no_process_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ctypes.CDLL(None)` raises TypeError there, which ended the server before it had loaded a model."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", windows_cdll)
    assert process.process_symbols() is None
    process.limit_malloc_arenas()
    process.keep_freed_memory()
    process.trim_heap()
