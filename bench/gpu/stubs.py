"""A pytest plugin that stubs packages which are not installed.

The tests it is for import these packages indirectly, and use none of them.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

NAMES = ("av", "av.error", "soundfile", "soxr", "filelock", "requests", "httpcore2", "pydantic_settings")

for _name in NAMES:
    try:
        importlib.import_module(_name)
    except ImportError:
        sys.modules[_name] = MagicMock(__spec__=ModuleSpec(_name, None), __version__="0.0")
