"""The paths of jobs: submit one, read one, cancel or delete one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.access import key_owner
from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.described import ApiDescription
from hf_asr_endpoint.api.errors import MESSAGE_FORMAT
from hf_asr_endpoint.api.jobs.description import EXAMPLE_JOB, describe
from hf_asr_endpoint.api.openai.form import FILE, check_file
from hf_asr_endpoint.api.openai.job_kind import KIND, MODEL
from hf_asr_endpoint.api.openai.query import join_fields, read_fields
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, delete, get, post
from hf_asr_endpoint.api.responses import render_response
from hf_asr_endpoint.api.sse import EventStream, json_event
from hf_asr_endpoint.errors import AsrError, InvalidParameter, UnknownParameter
from hf_asr_endpoint.jobs.job import Job, JobKind, JobSpec, render_job
from hf_asr_endpoint.jobs.jobs import JobService
from hf_asr_endpoint.jobs.progress import JobProgress
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.types import TASKS, Task

OWN_FIELDS = ("webhook", "task")

MIN_EVENT_INTERVAL_S = 0.5
PROGRESS_EVENT, DONE_EVENT = "job.progress", "job.done"

REQUESTS = "/v1/requests"
"""The path of jobs by their id, which the answer to a new job shows."""

PATHS = DialectPaths(
    name="jobs",
    main_path="POST /v1/jobs",
    prefixes=(
        Prefix("/v1/jobs", (post("", "create"),)),
        Prefix(
            REQUESTS,
            (get("/{id}/events", "events"), get("/{id}", "retrieve"), delete("/{id}", "end")),
        ),
    ),
)


class JobRoutes:
    """Accepts jobs with the fields of OpenAI's API, and shows and ends jobs of any dialect."""

    paths = PATHS
    error_format = MESSAGE_FORMAT

    def __init__(
        self,
        admission: Admission,
        jobs: JobService,
        kind: JobKind,
        *,
        root_path: str = "",
    ) -> None:
        """kind: parses OpenAI's fields and renders its results. root_path: a proxy's path to this server."""
        self._admission = admission
        self._jobs = jobs
        self._requests_path = root_path + REQUESTS
        self._kind = kind

    def routes(self) -> list[Route]:
        return PATHS.routes(
            {"create": self.create, "retrieve": self.retrieve, "events": self.events, "end": self.end}
        )

    def describe(self) -> ApiDescription:
        return describe(PATHS.endpoints, _document(EXAMPLE_JOB, JobProgress()))

    async def create(self, request: Request) -> Response:
        """Respond 202 with the job's id, once the job is stored. Raises AsrError."""
        query = read_fields(request)
        async with self._admission.receive_form(request, file_field=FILE, is_job=True) as form:
            parsed = self._parse(join_fields(query, form.texts))
            spec = replace(parsed, owner=key_owner(request))
            job = await self._jobs.submit(spec, check_file(form).to_store())
        return JSONResponse(
            render_job(job), status_code=202, headers={"Location": f"{self._requests_path}/{job.id}"}
        )

    async def retrieve(self, request: Request) -> Response:
        """Return the job's status, progress, result or error, and its delivery."""
        job = await self._jobs.find(request.path_params["id"], caller=key_owner(request))
        progress = self._jobs.progress(job)
        return await render_response(lambda: _document(job, progress))

    async def events(self, request: Request) -> Response:
        """Respond with a job's progress as events; the last one is the whole job."""
        watched = self._jobs.watch(request.path_params["id"], caller=key_owner(request))
        first = await anext(watched)  # An unknown job has its own status.
        return EventStream(self._write_events(first, watched), held=AsyncExitStack())

    async def _write_events(self, first: Job, watched: AsyncIterator[Job]) -> AsyncIterator[ServerSentEvent]:
        job = first
        last: dict[str, Any] = {}
        try:
            while not job.status.is_final:
                document = {"type": PROGRESS_EVENT, **_progress_document(job, self._jobs.progress(job))}
                if document != last:
                    yield json_event(document)
                    last = document
                    await asyncio.sleep(MIN_EVENT_INTERVAL_S)
                job = await anext(watched)
        except AsrError as exc:  # The job was removed, or the server is shutting down.
            yield json_event(MESSAGE_FORMAT.body_of(exc), name="error")
            return
        document = await asyncio.to_thread(_document, job, self._jobs.progress(job))
        yield json_event({"type": DONE_EVENT, **document})

    async def end(self, request: Request) -> Response:
        """Cancel an unfinished job, or remove a finished one with its result and its delivery."""
        job_id: str = request.path_params["id"]
        job = await self._jobs.cancel_or_remove(job_id, caller=key_owner(request))
        progress = JobProgress() if job is None else self._jobs.progress(job)
        return await render_response(
            lambda: {"request_id": job_id, "deleted": True} if job is None else _document(job, progress)
        )

    def _parse(self, texts: Sequence[tuple[str, str]]) -> JobSpec:
        own = {name: _own_field(texts, name) for name in (*OWN_FIELDS, MODEL)}
        spec = JobSpec(
            kind=KIND,
            task=_parse_task(own["task"]),
            model=own[MODEL] or "",
            fields=tuple((name, text) for name, text in texts if name not in own),
            webhook=own["webhook"],
        )
        try:
            self._kind.parse(spec)  # Refuse bad parameters now, not when the job runs.
        except UnknownParameter as exc:
            raise UnknownParameter(f"{exc}, {', '.join(OWN_FIELDS)}", parameter=exc.parameter) from exc
        return spec


def _progress_document(job: Job, progress: JobProgress) -> dict[str, Any]:
    fraction, remaining_s = progress.fraction, progress.remaining_s
    return {
        "request_id": job.id,
        "status": job.status.value,
        "progress": None if fraction is None else round(fraction, 4),
        "estimated_remaining_s": None if remaining_s is None else round(remaining_s, 1),
    }


def _document(job: Job, progress: JobProgress) -> dict[str, Any]:
    delivery = job.delivery
    shown = _progress_document(job, progress)
    return {
        **render_job(job),
        "progress": shown["progress"],
        "estimated_remaining_s": shown["estimated_remaining_s"],
        "delivery": {
            "status": delivery.status.value,
            "attempts": delivery.n_attempts,
            "next_attempt_at": delivery.next_attempt_at,
            "error": delivery.error,
        },
    }


def _own_field(texts: Sequence[tuple[str, str]], name: str) -> str | None:
    """Return a field's text. Empty text means that the field is absent, as for OpenAI's fields."""
    found = [text.strip() for field, text in texts if field == name and text.strip()]
    if len(found) > 1:
        raise InvalidParameter(f"{name} is given {len(found)} times; allowed: once", parameter=name)
    return found[0] if found else None


def _parse_task(text: str | None) -> Task:
    task = next((task for task in TASKS if task == (text or "transcribe")), None)
    if task is None:
        raise InvalidParameter(f"task is {show_value(text)}; allowed: {', '.join(TASKS)}", parameter="task")
    return task
