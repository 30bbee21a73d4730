"""Query strings, as names and texts. A long one is refused before it is split."""

from __future__ import annotations

from starlette.requests import Request

from hf_asr_endpoint.api.texts import check_text
from hf_asr_endpoint.errors import InvalidRequest

MAX_QUERY_BYTES = 16 * 2**10
MAX_QUERY_FIELDS = 100


def read_query(request: Request) -> list[tuple[str, str]]:
    """Return the query string's names and texts, in their order. Raises InvalidRequest and InvalidParameter."""
    n_bytes = len(request.scope["query_string"])
    if n_bytes > MAX_QUERY_BYTES:
        raise InvalidRequest(f"the query string has {n_bytes} bytes; allowed: {MAX_QUERY_BYTES} bytes")
    items = request.query_params.multi_items()
    if len(items) > MAX_QUERY_FIELDS:
        raise InvalidRequest(f"the query string has {len(items)} fields; allowed: {MAX_QUERY_FIELDS} fields")
    for name, text in items:
        check_text(text, name=name)
    return items
