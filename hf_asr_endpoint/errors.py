"""Every error that the package raises on purpose. A message says what is wrong, what was given, what is allowed.

AsrError
├── InvalidRequest               the request cannot be understood
│   ├── InvalidParameter         a parameter has a value that is not allowed
│   │   ├── UnknownParameter     there is no such parameter
│   │   ├── MissingParameter     a parameter that is needed is absent
│   │   ├── UnsupportedParameter a parameter that others with this API offer and this server does not
│   │   └── UnsupportedValue     likewise a value, alone or beside another parameter
│   ├── UnknownModel             the request names a model that is not served here
│   ├── UnknownJob               the request names a job that is not, or no longer, kept here
│   ├── BodyTooLarge             more bytes than the limit
│   ├── UnsupportedEncoding      a body compressed in a way not known here
│   └── UploadTimeout            the client stopped sending
├── InvalidAudio                 recognised as audio, but broken
│   ├── UnsupportedAudio         not recognised as audio
│   └── AudioTooLong             more seconds than the limit
├── Overloaded                   the limit of concurrent requests is reached
├── StorageFailed                a body or a job cannot be stored: the disk is full, or writing is not permitted
├── JobsUnavailable              this server takes no jobs
├── EngineError                  the model failed while working on a request
│   └── EngineUnavailable        the engine did not start, or is shutting down
└── ModelUnavailable             the model named in the settings cannot be had

Which status each one becomes is decided in `api/errors.py` alone.
"""

from __future__ import annotations


class AsrError(Exception):
    """Base of the tree. `str(error)` is a sentence fit for the client."""


class InvalidRequest(AsrError):
    """The request cannot be understood."""


class InvalidParameter(InvalidRequest):
    """A parameter has a value that is not allowed, is unknown, or contradicts another one.

    `parameter`: its name, for dialects whose errors have a place for it.
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class UnknownParameter(InvalidParameter):
    """There is no such parameter."""


class MissingParameter(InvalidParameter):
    """A parameter that is needed is absent."""


class UnsupportedParameter(InvalidParameter):
    """A parameter that others with this API offer and this server does not."""


class UnsupportedValue(InvalidParameter):
    """A value that others with this API offer and this server does not, or not beside another parameter."""


class UnknownModel(InvalidRequest):
    """The request names a model that is not served here."""


class UnknownJob(InvalidRequest):
    """The request names a job that is not, or no longer, kept here."""


class BodyTooLarge(InvalidRequest):
    """The request body exceeds its limit.

    `n_bytes`: how many it has, as far as it was read or declared.
    """

    def __init__(self, message: str, *, n_bytes: int) -> None:
        super().__init__(message)
        self.n_bytes = n_bytes


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed in a way not known here."""


class UploadTimeout(InvalidRequest):
    """The client stopped sending its body."""


class InvalidAudio(AsrError):
    """The bytes are of an audio format, but no audio can be decoded from them."""


class UnsupportedAudio(InvalidAudio):
    """The bytes are of no audio format known here."""


class AudioTooLong(InvalidAudio):
    """The audio decodes to more seconds than the limit."""


class Overloaded(AsrError):
    """The limit of concurrent requests is reached.

    `retry_after_s`: seconds after which another try is reasonable.
    """

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageFailed(AsrError):
    """A body or a job cannot be stored.

    The disk is full, writing is not permitted, or another server uses the folder.
    """


class JobsUnavailable(AsrError):
    """This server takes no jobs; the message says why."""


class EngineError(AsrError):
    """The model failed while working on a request."""


class EngineUnavailable(EngineError):
    """The engine did not start, or is shutting down."""


class ModelUnavailable(AsrError):
    """The model named in the settings cannot be had; the message says what to do."""
