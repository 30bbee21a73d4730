"""Every path of the server, in one table: routes, error formats and the advice of a 404 are made from it.

It knows which path belongs to which dialect. It knows neither handlers nor error bodies.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]

_CONVERTOR = re.compile(":[a-z]+(?=})")


class Dialect(Enum):
    """Whose path it is. The value is the name that messages and docs/requests.md show."""

    OPERATIONS = "operators"
    JOBS = "jobs"
    DEEPINFRA = "DeepInfra"
    OPENAI = "OpenAI"
    ASR_WEBSERVICE = "whisper-asr-webservice"
    WHISPER_CPP = "whisper.cpp"
    HUGGING_FACE = "Hugging Face"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A method and a path.

    path: in Starlette's notation; in a `Prefix`, the part behind the prefix. operation: the name under which the
    dialect has its handler.
    """

    method: str
    path: str
    operation: str
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_regex", compile_path(self.path)[0])

    @property
    def methods(self) -> tuple[str, ...]:
        return (self.method, "HEAD") if self.method == "GET" else (self.method,)

    @property
    def shown_path(self) -> str:
        """The path as people write it: `/models/{model}`."""
        return _CONVERTOR.sub("", self.path)

    def has(self, path: str) -> bool:
        """Return whether a clean path is one of this endpoint's. Takes linear time."""
        return self._regex.match(path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """A dialect's endpoints below a path. What else is below that path, a 404, belongs to the dialect, too."""

    path: str
    dialect: Dialect
    parts: tuple[Endpoint, ...]

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints, with whole paths."""
        return _below(self.path, self.parts)

    @property
    def head(self) -> str:
        """The path up to its first parameter."""
        return self.path.partition("/{")[0]

    def owns(self, path: str) -> bool:
        """Return whether a clean path is this prefix or below it."""
        return path == self.head or path.startswith(f"{self.head}/")


def _below(path: str, parts: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    return tuple(replace(part, path=path + part.path) for part in parts)


def _get(path: str, operation: str) -> Endpoint:
    return Endpoint(method="GET", path=path, operation=operation)


def _post(path: str, operation: str) -> Endpoint:
    return Endpoint(method="POST", path=path, operation=operation)


def _prefix(path: str, dialect: Dialect, *parts: Endpoint) -> Prefix:
    return Prefix(path=path, dialect=dialect, parts=parts)


REQUESTS = "/v1/requests"
"""The path of jobs by their id, which the answer to a new job shows."""

_AUDIO = (_post("/transcriptions", "create_transcription"), _post("/translations", "create_translation"))
_MODELS = (_get("", "list_models"), _get("/{model:path}", "retrieve_model"))
_AUDIO_API = (*_below("/audio", _AUDIO), *_below("/models", _MODELS))

_NOT_AUDIO = (
    _post("/audio/speech", ""),
    _post("/chat/completions", ""),
    _post("/completions", ""),
    _post("/embeddings", ""),
    _post("/responses", ""),
)
"""OpenAI's other endpoints that chat programs try. Not served: their 404 has OpenAI's form under any base URL."""

PREFIXES: tuple[Prefix, ...] = (
    _prefix("/health", Dialect.OPERATIONS, _get("", "health")),
    _prefix("/info", Dialect.OPERATIONS, _get("", "info")),
    _prefix("/v1/jobs", Dialect.JOBS, _post("", "create")),
    _prefix(
        REQUESTS,
        Dialect.JOBS,
        _get("/{id}", "retrieve"),
        Endpoint(method="DELETE", path="/{id}", operation="end"),
    ),
    # A deployment comes before a model, whose name would begin with "deploy/". Without a name, the dialect's 404
    # lists the names.
    _prefix(
        "/v1/inference",
        Dialect.DEEPINFRA,
        _post("/deploy/{model:path}", "infer"),
        _post("/{model:path}", "infer"),
        _post("", "infer"),
    ),
    _prefix("/v1", Dialect.OPENAI, *_AUDIO_API),
    _prefix("/v1/openai", Dialect.OPENAI, *_AUDIO_API),  # DeepInfra's.
    _prefix("/openai/v1", Dialect.OPENAI, *_AUDIO_API),  # Groq's, and Azure's since 2025.
    _prefix("/openai", Dialect.OPENAI, *_AUDIO_API),  # AzureOpenAI lists models here.
    _prefix("/openai/deployments/{model:path}", Dialect.OPENAI, *_below("/audio", _AUDIO)),  # AzureOpenAI's.
    _prefix("/audio", Dialect.OPENAI, *_AUDIO),  # OpenAI's clients with a base URL without /v1.
    _prefix("/models", Dialect.OPENAI, *_MODELS),
    _prefix("/asr", Dialect.ASR_WEBSERVICE, _post("", "transcribe")),
    _prefix("/detect-language", Dialect.ASR_WEBSERVICE, _post("", "detect_language")),
    _prefix("/inference", Dialect.WHISPER_CPP, _post("", "infer")),
    # The Inference API's, Inference Endpoints' and transformers' own. All other paths are below this prefix.
    _prefix(
        "",
        Dialect.HUGGING_FACE,
        _post("/", "transcribe"),
        _post("/v1", "transcribe"),
        _post("/predict", "transcribe"),
        _post("/pipeline/automatic-speech-recognition/{model:path}", "transcribe"),
        _post("/models/{model:path}/pipeline/automatic-speech-recognition", "transcribe"),
        _post("/models/{model:path}", "transcribe"),
        _post("/hf-inference/models/{model:path}", "transcribe"),
    ),
)
"""The table. Of two endpoints with the same method that have a path, the first one serves it."""

MAIN_PATHS: Mapping[Dialect, str] = {
    Dialect.HUGGING_FACE: "POST /",
    Dialect.OPENAI: "POST /v1/audio/transcriptions",
    Dialect.DEEPINFRA: "POST /v1/inference/{model}",
    Dialect.ASR_WEBSERVICE: "POST /asr",
    Dialect.WHISPER_CPP: "POST /inference",
    Dialect.JOBS: "POST /v1/jobs",
    Dialect.OPERATIONS: "GET /health",
}
"""What a 404 lists if nothing tells which dialect the client speaks."""

ENDPOINTS: tuple[tuple[Endpoint, Dialect], ...] = tuple(
    (endpoint, prefix.dialect) for prefix in PREFIXES for endpoint in prefix.endpoints
)
"""All endpoints with whole paths, in the table's order."""

_BY_LENGTH = sorted(PREFIXES, key=lambda prefix: len(prefix.head), reverse=True)


def make_routes(dialect: Dialect, handlers: Mapping[str, Handler]) -> list[Route]:
    """Return a dialect's routes. handlers: by the table's operations; raises KeyError if one is absent."""
    return [
        Route(endpoint.path, handlers[endpoint.operation], methods=[endpoint.method])
        for endpoint, owner in ENDPOINTS
        if owner is dialect
    ]


def clean_path(path: str) -> str:
    """Return a path without doubled slashes and without a slash at its end. Takes linear time."""
    return "/" + "/".join(filter(None, path.split("/")))


def methods_of(path: str) -> tuple[str, ...]:
    """Return the methods that a clean path supports; none if it does not exist."""
    found = (method for endpoint, _ in ENDPOINTS if endpoint.has(path) for method in endpoint.methods)
    return tuple(dict.fromkeys(found))


def dialect_of(method: str, path: str) -> Dialect:
    """Return the dialect that a request speaks, also one that no route serves. path: a clean path."""
    for endpoint, owner in ENDPOINTS:
        if method in endpoint.methods and endpoint.has(path):
            return owner
    prefix = prefix_of(path)
    return Dialect.OPENAI if not prefix.path and _ends_like_openai(method, path) else prefix.dialect


def prefix_of(path: str) -> Prefix:
    """Return the longest prefix that a clean path is below."""
    return next(prefix for prefix in _BY_LENGTH if prefix.owns(path))


def _ends_like_openai(method: str, path: str) -> bool:
    """Return whether an OpenAI client whose base URL is wrong may have sent a request.

    openai-python shows no message of an error in another form.
    """
    return any(method in part.methods and path.endswith(part.path) for part in (*_AUDIO_API, *_NOT_AUDIO))


class CleanPaths:
    """ASGI middleware that serves a path with doubled slashes, or with one at its end, like the path without them.

    A redirect would do the same for GET alone: clients repeat a POST without its body, or not at all.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": clean_path(scope["path"])}
        await self._app(scope, receive, send)
