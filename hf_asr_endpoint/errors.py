"""Every error that the package raises on purpose. A message says what is wrong, what was given, what is allowed.

AsrError
├── InvalidRequest               the request cannot be understood
│   ├── InvalidParameter         a parameter has a value that is not allowed
│   │   ├── UnknownParameter     the parameter does not exist
│   │   ├── MissingParameter     a required parameter is absent
│   │   ├── UnsupportedParameter this API has the parameter, but this server does not support it
│   │   └── UnsupportedValue     this API has the value, but this server does not support it, or not in this
│   │                            combination
│   ├── UnknownModel             the request names a model that this server does not serve
│   ├── UnknownJob               the request names a job that this server does not keep (any more)
│   ├── UnknownPath              the path does not exist
│   ├── MethodNotAllowed         the path exists, but not with this method
│   ├── BodyTooLarge             the body exceeds its limit of bytes
│   ├── UnsupportedEncoding      the body is compressed in an unknown way
│   └── UploadTimeout            the client stopped sending, or sends too slowly
├── Unauthorized                 the request has no API key, or an unknown one
├── InvalidAudio                 the format is known, but no audio can be decoded
│   ├── UnsupportedAudio         the format is not a known audio format
│   └── AudioTooLong             the audio exceeds its limit of seconds
├── Overloaded                   the limit of requests, or of audio, that may wait is reached
├── WorkTimeout                  the work took longer than allowed
├── StorageFailed                a body or a job cannot be stored: the disk is full, or writing is not permitted
│   └── AudioLost                the audio of a job does not exist any more
├── JobsUnavailable              this server takes no jobs
├── EngineError                  the model failed while working on a request
│   ├── EngineUnavailable        the engine did not start, or is shutting down
│   ├── EngineLost               the engine, or the audio on its way there, has gone during a request
│   └── ModelNotLoaded           the model that a request asks for cannot be loaded
├── InternalError                a bug; the log has its traceback
├── ModelUnavailable             the model in the settings cannot be loaded
└── InvalidSettings              a setting does not exist or has a value that is not allowed

`api/errors.py` alone decides which HTTP status each one becomes.
"""

from __future__ import annotations

from typing import Any


class AsrError(Exception):
    """Base of the tree. `str(error)` is a sentence that a client may read.

    Errors can be pickled, with their attributes: engines may run in other processes.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args), self.__dict__


class InvalidRequest(AsrError):
    """The request cannot be understood."""


class InvalidParameter(InvalidRequest):
    """A parameter has a value that is not allowed, is unknown, or contradicts another one.

    `parameter`: its name, for dialects whose errors have a field for it.
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class UnknownParameter(InvalidParameter):
    """The parameter does not exist."""


class MissingParameter(InvalidParameter):
    """A required parameter is absent."""


class UnsupportedParameter(InvalidParameter):
    """The dialect's API has this parameter, but this server does not support it."""


class UnsupportedValue(InvalidParameter):
    """The dialect's API has this value, but this server does not support it, or not in this combination."""


class UnknownModel(InvalidRequest):
    """The request names a model that this server does not serve."""


class UnknownJob(InvalidRequest):
    """The request names a job that this server does not keep, or no longer keeps."""


class UnknownPath(InvalidRequest):
    """The request's path does not exist."""


class MethodNotAllowed(InvalidRequest):
    """The path exists, but not with this method. `allowed`: the methods that it has, as in the header Allow."""

    def __init__(self, message: str, *, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed


class BodyTooLarge(InvalidRequest):
    """The request body exceeds its limit.

    `n_bytes`: its size, as far as it was read or declared.
    """

    def __init__(self, message: str, *, n_bytes: int) -> None:
        super().__init__(message)
        self.n_bytes = n_bytes


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed in an unknown way."""


class UploadTimeout(InvalidRequest):
    """The client stopped sending its body, or took too long."""


class Unauthorized(AsrError):
    """The request has no API key, or one that the server does not know."""


class InvalidAudio(AsrError):
    """The bytes have a known audio format, but no audio can be decoded from them."""


class UnsupportedAudio(InvalidAudio):
    """The bytes have no known audio format."""


class AudioTooLong(InvalidAudio):
    """The decoded audio exceeds its limit of seconds."""


class Overloaded(AsrError):
    """The limit of requests, or of audio, that may wait is reached.

    `retry_after_s`: seconds after which another attempt is reasonable.
    """

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WorkTimeout(AsrError):
    """The work on a request took longer than the server allows."""


class StorageFailed(AsrError):
    """A body or a job cannot be stored.

    The disk is full, writing is not permitted, or another server uses the folder.
    """


class AudioLost(StorageFailed):
    """The audio of a job does not exist any more: no other attempt to read it can succeed."""


class JobsUnavailable(AsrError):
    """This server does not accept jobs; the message says why."""


class EngineError(AsrError):
    """The model failed while it worked on a request."""


class EngineUnavailable(EngineError):
    """The engine did not start, or is shutting down."""


class DeviceLost(EngineUnavailable):
    """The device that the model runs on can compute no more in this process; the engine ends."""


class EngineLost(EngineError):
    """The engine, its machine, or the audio on its way there has gone while a request was worked on.

    The same request may succeed when it is sent again.
    """


class ModelNotLoaded(EngineError):
    """The model that a request asks for cannot be loaded."""


class InternalError(AsrError):
    """A bug. The message gives no details; the log has the traceback under the request's id."""


class ModelUnavailable(AsrError):
    """The model in the settings cannot be loaded; the message says what to do."""


class InvalidSettings(AsrError):
    """A setting does not exist or has a value that is not allowed; the message says how to correct it."""


def _restore(kind: type[AsrError], args: tuple[Any, ...]) -> AsrError:
    """Return an error without calling its class, which may need more than the message."""
    return kind.__new__(kind, *args)
