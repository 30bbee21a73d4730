"""Turns errors of reading a model's files into one error that names the cause. Damage is one cause of several."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from hf_asr_endpoint.errors import ModelUnavailable

_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)  # the copy is incomplete, which is damage too
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # in the RuntimeErrors of torch's allocators
_RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")


@contextmanager
def translate_read_errors(what: str) -> Iterator[None]:
    """Raise ModelUnavailable for any error inside the block, with the reason why `what` cannot be read.

    what: the files and where they are, such as "the model in /models/base". A ModelUnavailable from inside the
    block passes unchanged.
    """
    try:
        yield
    except ModelUnavailable:
        raise
    except Exception as exc:  # A damaged file can fail in any of five libraries, each with errors of its own.
        raise ModelUnavailable(_explain(exc, what)) from exc


def _explain(exc: Exception, what: str) -> str:
    reason = (f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__).splitlines()[0]
    if _is_out_of_memory(exc):
        return f"there is not enough memory to load {what} ({reason}); free memory or choose a smaller model"
    code = _os_error_code(exc)
    if isinstance(exc, PermissionError) or code == errno.EACCES:
        return f"{what} cannot be read ({reason}); allow this process to read its files"
    if code is not None and code not in _NOT_FOUND:
        return f"{what} cannot be read ({reason}); its files may be intact: remove the cause and start again"
    if isinstance(exc, ImportError):
        return f"{what} cannot be read, because a library is missing ({reason}); install hf-asr-endpoint again"
    return f"{what} cannot be loaded ({reason}); copy or download it again"


def _is_out_of_memory(exc: Exception) -> bool:
    if isinstance(exc, RuntimeError):
        return any(phrase in str(exc) for phrase in _OUT_OF_MEMORY)
    return isinstance(exc, MemoryError)


def _os_error_code(exc: Exception) -> int | None:
    if isinstance(exc, OSError) and exc.errno is not None:
        return exc.errno
    # safetensors and tokenizers, which are written in Rust, give the code only in the text.
    match = _RUST_OS_ERROR.search(str(exc))
    return int(match[1]) if match else None
