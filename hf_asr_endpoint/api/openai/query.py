"""OpenAI's fields in a query string: they count like those of the body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from starlette.requests import Request

from hf_asr_endpoint.api.openai.form import FILE
from hf_asr_endpoint.api.query import read_query
from hf_asr_endpoint.api.texts import MAX_NAME_CHARACTERS
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter
from hf_asr_endpoint.messages import quote

Texts = tuple[tuple[str, str], ...]

API_VERSION = "api-version"
"""The version of Azure's API, which its clients always send. It is ignored: there is one audio API here."""

_ITEM = re.compile(r"\[[0-9]*\]$")


def read_fields(request: Request) -> Texts:
    """Return the query string's names and texts. Raises InvalidRequest and InvalidParameter."""
    fields = tuple((name, text) for name, text in read_query(request) if name != API_VERSION)
    if any(name == FILE for name, _ in fields):
        raise InvalidParameter(f"{FILE} is in the query string; allowed: in the body only", parameter=FILE)
    return fields


def check_no_fields(request: Request) -> None:
    """Raise UnknownParameter for a query string, where there is nothing to choose."""
    for name, _ in read_query(request):
        if name != API_VERSION:
            raise UnknownParameter(
                f"there is no parameter {quote(name, max_characters=MAX_NAME_CHARACTERS)}; allowed: {API_VERSION}",
                parameter=name[:MAX_NAME_CHARACTERS],
            )


def join_fields(query: Texts, body: Texts) -> Texts:
    """Return the fields of both. Fields that both have, with the same texts, count once.

    Empty texts mean absent fields. Raises InvalidParameter for a field that is different in both.
    """
    in_query, in_body = _by_name(query), _by_name(body)
    for name, texts in in_query.items():
        if name in in_body and in_body[name] != texts:
            name = name[:MAX_NAME_CHARACTERS]
            raise InvalidParameter(
                f"{name} is {_show(texts)} in the query string, but {_show(in_body[name])} in the body; "
                "allowed: in one of them, or the same in both",
                parameter=name,
            )
    return (*((name, text) for name, text in query if _plain(name) not in in_body), *body)


def _by_name(texts: Texts) -> Mapping[str, list[str]]:
    """Return the texts that are not empty by name, in which the brackets of a list's items do not count."""
    found: dict[str, list[str]] = {}
    for name, text in texts:
        if text.strip():
            found.setdefault(_plain(name), []).append(text.strip())
    return found


def _plain(name: str) -> str:
    return _ITEM.sub("", name)


def _show(texts: Iterable[str]) -> str:
    return quote(", ".join(texts))
