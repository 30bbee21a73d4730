"""OpenAI's form: one file, and texts. Read under limits, and taken apart."""

from __future__ import annotations

import asyncio
from typing import BinaryIO

from starlette.requests import Request

from hf_asr_endpoint.api.body import RequestLimits, read_body
from hf_asr_endpoint.api.multipart import Form, FormLimits, Part, parse_multipart
from hf_asr_endpoint.errors import InvalidParameter, MissingParameter, UnknownParameter

FILE = "file"


async def read_form(request: Request, *, limits: RequestLimits, form_limits: FormLimits) -> Form:
    """Receive a form, which the caller closes. Raises InvalidRequest."""
    body = await read_body(request, limits)
    with body.file:
        return await asyncio.to_thread(
            parse_multipart,
            body.file,
            content_type=request.headers.get("content-type"),
            file_fields=(FILE,),
            limits=form_limits,
        )


def check_no_query(request: Request) -> None:
    """Raise UnknownParameter for a query string, which no client of this API sends."""
    if request.query_params:
        name = next(iter(request.query_params))
        raise UnknownParameter(
            f"the query string has {name[:100]!r}; allowed: parameters in the form only", parameter=name[:100]
        )


def split_form(form: Form) -> tuple[list[tuple[str, str]], list[Part]]:
    """Return the texts by their names, and the parts that are the file. Raises InvalidParameter."""
    files = [part for part in form.parts if part.name == FILE]
    return [(part.name, _text(part)) for part in form.parts if part.name != FILE], files


def check_file(files: list[Part]) -> BinaryIO:
    """Return the one file, at its beginning. Raises MissingParameter and InvalidParameter."""
    if not files:
        raise MissingParameter("file is missing; allowed: an audio file", parameter=FILE)
    if len(files) > 1 or not files[0].n_bytes:
        what = "is empty" if len(files) == 1 else f"is given {len(files)} times"
        raise InvalidParameter(f"file {what}; allowed: one audio file", parameter=FILE)
    return files[0].file


def _text(part: Part) -> str:
    if part.filename is not None:
        raise InvalidParameter(f"{part.name} is sent as a file; allowed as a file: {FILE}", parameter=part.name)
    return part.text()
