"""The paths of jobs: submit one, read one, cancel or delete one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.access import key_owner
from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.errors import MESSAGE_FORMAT
from hf_asr_endpoint.api.openai.form import FILE, check_file
from hf_asr_endpoint.api.openai.job_kind import KIND, MODEL
from hf_asr_endpoint.api.openai.query import join_fields, read_fields
from hf_asr_endpoint.api.paths import DialectPaths, Prefix, delete, get, post
from hf_asr_endpoint.api.responses import render_response
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter
from hf_asr_endpoint.jobs.job import Job, JobKind, JobSpec, render_job
from hf_asr_endpoint.jobs.jobs import JobService
from hf_asr_endpoint.messages import show_value
from hf_asr_endpoint.types import TASKS, Task

OWN_FIELDS = ("webhook", "task")

REQUESTS = "/v1/requests"
"""The path of jobs by their id, which the answer to a new job shows."""

PATHS = DialectPaths(
    name="jobs",
    main_path="POST /v1/jobs",
    prefixes=(
        Prefix("/v1/jobs", (post("", "create"),)),
        Prefix(REQUESTS, (get("/{id}", "retrieve"), delete("/{id}", "end"))),
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
        return PATHS.routes({"create": self.create, "retrieve": self.retrieve, "end": self.end})

    async def create(self, request: Request) -> Response:
        """Respond 202 with the job's id, once the job is stored. Raises AsrError."""
        query = read_fields(request)
        async with self._admission.receive_form(request, file_field=FILE) as form:
            parsed = self._parse(join_fields(query, form.texts))
            spec = replace(parsed, owner=key_owner(request))
            job = await self._jobs.submit(spec, check_file(form).to_store())
        return JSONResponse(
            render_job(job), status_code=202, headers={"Location": f"{self._requests_path}/{job.id}"}
        )

    async def retrieve(self, request: Request) -> Response:
        """Return the job's status, its result or error, and its delivery."""
        job = await self._jobs.find(request.path_params["id"], caller=key_owner(request))
        return await render_response(lambda: _with_delivery(job))

    async def end(self, request: Request) -> Response:
        """Cancel an unfinished job, or remove a finished one with its result and its delivery."""
        job_id: str = request.path_params["id"]
        job = await self._jobs.cancel_or_remove(job_id, caller=key_owner(request))
        return await render_response(
            lambda: {"request_id": job_id, "deleted": True} if job is None else _with_delivery(job)
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


def _with_delivery(job: Job) -> dict[str, Any]:
    delivery = job.delivery
    return {
        **render_job(job),
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
