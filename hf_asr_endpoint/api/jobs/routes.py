"""The routes of jobs. Errors are `{"error"}`, as DeepInfra's native API and the Hugging Face task have them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hf_asr_endpoint.api.admission import Admission
from hf_asr_endpoint.api.body import RequestLimits, receive_form
from hf_asr_endpoint.api.body_parser import BodyLimits
from hf_asr_endpoint.api.endpoints import answering_errors
from hf_asr_endpoint.api.huggingface.routes import answer_error
from hf_asr_endpoint.api.jobs.openai_kind import KIND
from hf_asr_endpoint.api.openai.form import FILE, check_file, check_no_query
from hf_asr_endpoint.errors import InvalidParameter, UnknownParameter
from hf_asr_endpoint.jobs.document import render_job
from hf_asr_endpoint.jobs.job import Job, JobKind, NewJob
from hf_asr_endpoint.jobs.jobs import JobService
from hf_asr_endpoint.types import TASKS, Task

JOBS, REQUESTS = "/v1/jobs", "/v1/requests"
OWN_FIELDS = ("webhook", "task")


class JobRoutes:
    """Takes jobs and tells of them."""

    def __init__(self, jobs: JobService, kind: JobKind, *, limits: RequestLimits, admission: Admission) -> None:
        """kind: what OpenAI's fields mean."""
        self._jobs = jobs
        self._kind = kind
        self._body_limits = BodyLimits(
            max_audio_bytes=limits.max_audio_bytes, upload_idle_timeout_s=limits.upload_idle_timeout_s
        )
        self._admission = admission

    def routes(self) -> list[Route]:
        one = f"{REQUESTS}/{{id}}"
        return [
            Route(JOBS, answering_errors(self.create, answer_error), methods=["POST"]),
            Route(one, answering_errors(self.retrieve, answer_error), methods=["GET"]),
            Route(one, answering_errors(self.end, answer_error), methods=["DELETE"]),
        ]

    async def create(self, request: Request) -> Response:
        """202, once the job is safe, with its id. Raises AsrError."""
        check_no_query(request)
        with self._admission.permit():
            async with receive_form(request, self._body_limits, file_field=FILE) as form:
                job = await self._jobs.submit(self._parse(form.texts), check_file(form).file)
        return JSONResponse(render_job(job), status_code=202, headers={"Location": f"{REQUESTS}/{job.id}"})

    async def retrieve(self, request: Request) -> Response:
        """The job as it stands, its result or error, and its delivery."""
        return JSONResponse(_with_delivery(await self._jobs.find(request.path_params["id"])))

    async def end(self, request: Request) -> Response:
        """Cancel a job that is unfinished; remove one that is finished, its result and its delivery."""
        job_id: str = request.path_params["id"]
        job = await self._jobs.end(job_id)
        return JSONResponse({"request_id": job_id, "deleted": True} if job is None else _with_delivery(job))

    def _parse(self, texts: Sequence[tuple[str, str]]) -> NewJob:
        own = {name: _own_field(texts, name) for name in OWN_FIELDS}
        asked = NewJob(
            kind=KIND,
            task=_parse_task(own["task"]),
            fields=tuple((name, text) for name, text in texts if name not in OWN_FIELDS),
            webhook=own["webhook"],
        )
        try:
            self._kind.options(asked)  # What cannot be had is refused now, not when the job runs.
        except UnknownParameter as exc:
            raise UnknownParameter(f"{exc}, {', '.join(OWN_FIELDS)}", parameter=exc.parameter) from exc
        return asked


def _with_delivery(job: Job) -> dict[str, object]:
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
    """Return a field's text; an empty one means an absent one, as for OpenAI's fields."""
    found = [text.strip() for field, text in texts if field == name and text.strip()]
    if len(found) > 1:
        raise InvalidParameter(f"{name} is given {len(found)} times; allowed: once", parameter=name)
    return found[0] if found else None


def _parse_task(text: str | None) -> Task:
    task = next((task for task in TASKS if task == (text or "transcribe")), None)
    if task is None:
        raise InvalidParameter(f"task is {(text or '')[:80]!r}; allowed: {', '.join(TASKS)}", parameter="task")
    return task
