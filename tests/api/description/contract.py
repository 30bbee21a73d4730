"""Holds requests and answers against an OpenAPI document, strictly: nothing may be there that is not described."""

from __future__ import annotations

import email
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator

from hf_asr_endpoint.api.values import is_null, number_of, switch_of

METHODS = ("get", "post", "delete")


class Contract:
    """An OpenAPI document, by which requests and answers are checked. Its methods raise AssertionError."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._components = _strict(document["components"])
        self._operations = [
            (method, re.compile(re.sub(r"{[^}]*}", ".+", shown)), operation)
            for path, item in document["paths"].items()
            for name, operation in item.items()
            for method, shown in [(name.upper(), path), *(alias.split(" ") for alias in operation["x-aliases"])]
        ]
        self._operations.sort(key=lambda found: found[1].pattern.count(".+"))

    def operation_of(self, method: str, path: str) -> dict[str, Any]:
        """Return the operation of a method and a path, a main one or an alias."""
        for own, pattern, operation in self._operations:
            if own == method and pattern.fullmatch(path):
                return operation
        raise AssertionError(f"{method} {path} is not in the document")

    def check_request(self, method: str, url: str, content_type: str, body: bytes) -> None:
        """Check the query string and the body of a request."""
        parts = urlsplit(url)
        operation = self.operation_of(method, parts.path)
        self._check_query(operation, parse_qsl(parts.query, keep_blank_values=True))
        if method != "POST":
            assert not body
            return
        contents = operation["requestBody"]["content"]
        kind = content_type.partition(";")[0]
        if kind == "multipart/form-data":
            fields = list(_form_fields(content_type, body))
            self.check_fields(contents[kind]["schema"], fields)
        elif kind == "application/json" or body[:1] == b"{":
            self.check(contents["application/json"]["schema"], json.loads(body))
        else:
            assert "audio/*" in contents, f"{kind} is not described"

    def check_answer(self, method: str, url: str, status: int, content_type: str, body: bytes) -> None:
        """Check an answer's status, media type and body."""
        responses = self.operation_of(method, urlsplit(url).path)["responses"]
        assert str(status) in responses, f"the status {status} is not described: {body[:300]!r}"
        kind = content_type.partition(";")[0]
        content = responses[str(status)]["content"][kind]
        if kind == "application/json":
            self.check(content["schema"], json.loads(body))
        elif kind == "text/event-stream":
            events = [json.loads(data) for data in re.findall(r"^data: ?(.*)$", body.decode(), re.MULTILINE)]
            assert events
            for event in events:
                self.check(content["x-events"], event)
        elif "contentSchema" in content["schema"] and body[:1] == b"{":
            self.check(_strict(content["schema"]["contentSchema"]), json.loads(body))

    def check(self, schema: dict[str, Any], value: object) -> None:
        """Check a value by a schema of the document."""
        whole = {**_strict(schema), "components": self._components}
        problems = [error.message for error in Draft202012Validator(whole).iter_errors(value)]
        assert not problems, f"{json.dumps(value)[:500]}: {problems}"

    def check_fields(self, schema: dict[str, Any], fields: list[tuple[str, str | bytes]]) -> None:
        """Check the fields of a form or of a query string, whose values are texts, by an object's schema."""
        problems = [self._problems_of_fields(kind, fields) for kind in schema.get("anyOf", [schema])]
        assert "" in problems, problems

    def _problems_of_fields(self, schema: dict[str, Any], fields: list[tuple[str, str | bytes]]) -> str:
        resolved = self.resolve(schema)
        value: dict[str, Any] = {}
        for name, text in fields:
            field = resolved["properties"].get(name, {})
            types = set(_types(field))
            if isinstance(text, bytes):
                value[name] = "a file"
            elif "array" in types and "string" not in types:
                value.setdefault(name, []).append(text)
            elif not is_null(text):
                value[name] = _value(text, types)
        try:
            self.check(schema, value)
        except AssertionError as exc:
            return str(exc)
        return ""

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return what a reference leads to."""
        if "$ref" not in schema:
            return schema
        found: dict[str, Any] = self._components["schemas"][schema["$ref"].rpartition("/")[2]]
        return found

    def _check_query(self, operation: dict[str, Any], query: list[tuple[str, str]]) -> None:
        in_query = [parameter for parameter in operation["parameters"] if parameter["in"] == "query"]
        named = {parameter["name"]: parameter["schema"] for parameter in in_query if not parameter.get("explode")}
        whole = [parameter["schema"] for parameter in in_query if parameter.get("explode")]
        properties = {name: field for kind in whole for name, field in self.resolve(kind)["properties"].items()}
        schema = {"type": "object", "properties": {**properties, **named}, "additionalProperties": False}
        self.check_fields(schema, list(query))


def _form_fields(content_type: str, body: bytes) -> Iterator[tuple[str, str | bytes]]:
    """Yield the parts of a form: bytes for a file, a text for any other."""
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    for part in message.get_payload():
        assert isinstance(part, email.message.Message)
        name = str(part.get_param("name", header="content-disposition"))
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        is_file = part.get_filename() is not None or name in ("file", "audio", "audio_file")
        yield name, payload if is_file else payload.decode().removesuffix("\n")


def _types(field: dict[str, Any]) -> Iterator[str]:
    for kind in field.get("anyOf", [field]):
        if isinstance(kind.get("type"), str):
            yield kind["type"]


def _value(text: str, types: set[str]) -> object:
    if text[:1] == "{":
        return json.loads(text)
    if "boolean" in types and (switch := switch_of(text)) is not None:
        return switch
    if types & {"integer", "number"} and (number := number_of(text)) is not None:
        return int(number) if number == int(number) else number
    return text


def _strict(schema: Any) -> Any:
    """Return a schema in which objects have no other properties than those that are described."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        strict.setdefault("additionalProperties", False)
    return strict
