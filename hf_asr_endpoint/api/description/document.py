"""The OpenAPI document of an application, from its dialects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hf_asr_endpoint import __version__
from hf_asr_endpoint.api.described import FORM, ApiDescription, Content, Operation
from hf_asr_endpoint.api.description.components import Components
from hf_asr_endpoint.api.description.failures import describe_errors
from hf_asr_endpoint.api.description.merging import merge
from hf_asr_endpoint.api.dialect import Dialect
from hf_asr_endpoint.api.errors import ErrorFormat
from hf_asr_endpoint.api.field_schemas import schema_of, without
from hf_asr_endpoint.api.paths import Endpoint
from hf_asr_endpoint.errors import Unauthorized

ABOUT = (
    "A speech-to-text server for Whisper models, with the APIs of Hugging Face, OpenAI, DeepInfra and others. "
    "`x-aliases` lists further paths of an operation, `x-one-value` marks fields that leave no choice, and "
    "`x-events` describes the data of a stream's events. Each response has the header `x-request-id`."
)
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
    "xi-api-key": {"type": "apiKey", "in": "header", "name": "xi-api-key"},
}

NeedsKey = Callable[[str], bool]


def write_document(dialects: Sequence[Dialect], *, root_path: str, needs_key: NeedsKey) -> dict[str, Any]:
    """Return the document. root_path: a proxy's path to the server. needs_key: whether a path needs an API key."""
    writer = _Writer(needs_key)
    described = {dialect.paths.name: dialect.describe() for dialect in dialects}
    for dialect in dialects:
        writer.add(described[dialect.paths.name], dialect.error_format)
    by_rank = sorted(dialects, key=lambda dialect: not dialect.paths.main_path)
    tags = {api.title: api.about for api in (described[dialect.paths.name] for dialect in by_rank)}
    return {
        "openapi": "3.1.1",
        "info": {"title": "hf-asr-endpoint", "version": __version__, "description": ABOUT},
        "servers": [{"url": root_path or "/"}],
        "tags": [{"name": title, "description": about} for title, about in tags.items()],
        "paths": writer.paths,
        "webhooks": writer.webhooks,
        "components": {"schemas": writer.components.schemas, "securitySchemes": _SCHEMES},
    }


class _Writer:
    def __init__(self, needs_key: NeedsKey) -> None:
        self._needs_key = needs_key
        self.components = Components()
        self.paths: dict[str, dict[str, Any]] = {}
        self.webhooks: dict[str, dict[str, Any]] = {}

    def add(self, api: ApiDescription, error_format: ErrorFormat) -> None:
        """Add a dialect's operations. Raises KeyError for an endpoint whose operation it does not describe."""
        by_operation: dict[str, list[Endpoint]] = {}
        for endpoint in api.endpoints:
            if api.operations[endpoint.operation] is not None:
                by_operation.setdefault(endpoint.operation, []).append(endpoint)
        for name, endpoints in by_operation.items():
            operation = api.operations[name]
            assert operation is not None
            main = next((end for end in endpoints if end.shown_path == operation.path), endpoints[0])
            written = {
                "operationId": _identifier(api, name),
                **self._operation(api, operation, error_format, main),
                "x-aliases": [f"{end.method} {end.shown_path}" for end in endpoints if end is not main],
            }
            item = self.paths.setdefault(main.shown_path, {})
            method = main.method.lower()
            item[method] = merge(written, item[method]) if method in item else written
        for name, operation in api.webhooks.items():
            self.webhooks[name] = {
                "post": {
                    **self._texts(api, operation),
                    "requestBody": self._body(api, operation),
                    "responses": {"2XX": {"description": "Received."}},
                }
            }

    def _operation(
        self, api: ApiDescription, operation: Operation, error_format: ErrorFormat, endpoint: Endpoint
    ) -> dict[str, Any]:
        needs_key = self._needs_key(endpoint.shown_path)
        errors = (*operation.errors, *([Unauthorized] if needs_key else []))
        body = self.components.put(schema_of(error_format.body_type), dialect=api.title)
        answers = {operation.status: operation.answers, **operation.other_answers}
        return {
            **self._texts(api, operation),
            "parameters": self._parameters(api, operation),
            **({"requestBody": self._body(api, operation)} if operation.bodies else {}),
            "responses": {
                **{
                    str(status): {"description": operation.summary, "content": self._contents(api, contents)}
                    for status, contents in answers.items()
                },
                **describe_errors(errors, error_format, body),
            },
            "security": [{name: []} for name in _SCHEMES] if needs_key else [],
            "x-codeSamples": [{"lang": "Shell", "label": "curl", "source": operation.curl}],
        }

    def _texts(self, api: ApiDescription, operation: Operation) -> dict[str, Any]:
        return {"tags": [api.title], "summary": operation.summary, "description": operation.about}

    def _parameters(self, api: ApiDescription, operation: Operation) -> list[dict[str, Any]]:
        in_path = [
            {"name": name, "in": "path", "required": True, "description": means, "schema": {"type": "string"}}
            for name, means in operation.path_fields.items()
        ]
        query = self.components.put({**(operation.query or {}), "title": ""}, dialect=api.title)  # Not one schema.
        in_query = [_query_parameter(name, schema) for name, schema in query.get("properties", {}).items()]
        return [*in_path, *in_query, *([self._form_in_query(api, operation)] if operation.form_in_query else [])]

    def _form_in_query(self, api: ApiDescription, operation: Operation) -> dict[str, Any]:
        """Return the one parameter that stands for all fields of the form: "explode" makes a field of each."""
        form = operation.bodies[FORM].schema
        files = [name for name, field in form["properties"].items() if field.get("format") == "binary"]
        schema = without(form, *files, title=f"{form['title']}InQuery")
        return {
            "name": f"fields of {form['title']}",
            "in": "query",
            "style": "form",
            "explode": True,
            "description": "Fields of the form may be in the query string as well.",
            "schema": self.components.put(schema, dialect=api.title),
        }

    def _body(self, api: ApiDescription, operation: Operation) -> dict[str, Any]:
        return {"required": True, "content": self._contents(api, operation.bodies)}

    def _contents(self, api: ApiDescription, contents: Mapping[str, Content]) -> dict[str, Any]:
        return {media_type: self._content(api, content) for media_type, content in contents.items()}

    def _content(self, api: ApiDescription, content: Content) -> dict[str, Any]:
        written: dict[str, Any] = {"schema": self.components.put(content.schema, dialect=api.title)}
        if content.examples:
            written["examples"] = {name: {"value": value} for name, value in content.examples.items()}
        if content.events:
            written["x-events"] = self.components.put(content.events, dialect=api.title)
        return written


def _query_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter, whose description and marks are its own and not its schema's."""
    own = {key: value for key, value in schema.items() if key == "description" or key.startswith("x-")}
    return {"name": name, "in": "query", **own, "schema": {k: v for k, v in schema.items() if k not in own}}


def _identifier(api: ApiDescription, name: str) -> str:
    return f"{re.sub('[^a-z0-9]+', '_', api.title.lower())}_{name}"
