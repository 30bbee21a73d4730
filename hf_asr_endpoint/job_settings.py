"""The settings of jobs and webhooks, which `config.py` joins to the others."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from hf_asr_endpoint.setting_types import JobsDatabase, Names, WebhookSecret


class JobSettings(BaseSettings):
    """Where jobs are kept, how many, how long, and how their results are delivered."""

    data_dir: Path | None = Field(
        None,
        description="Folder for jobs and their audio, used by one server at a time. Without it: "
        "`~/.local/share/hf-asr-endpoint`, and if that cannot be used, the server starts without jobs.",
    )
    jobs_database: JobsDatabase | None = Field(
        None,
        description="PostgreSQL database for the jobs of several servers, instead of `data_dir`: "
        "`postgresql://USER:PASSWORD@HOST/NAME`. Needs the extra `shared-jobs`. It has no flag, because other "
        "users of the machine could read that.",
    )
    jobs_storage: str | None = Field(
        None,
        description="Where these servers keep the audio of jobs: a folder that all of them see, or a URL of "
        "object storage, such as `s3://bucket/folder`.",
    )
    job_lease_s: float = Field(
        60.0,
        ge=1,
        le=3600,
        description="With `jobs_database`: how long a server may be silent until others take its jobs, "
        "in seconds.",
    )
    max_queued_jobs: int = Field(
        100, ge=1, description="Maximum jobs that wait, for all servers of a database; one more gets status 429."
    )
    max_running_jobs: int = Field(
        2, ge=1, description="Maximum jobs that this server runs at the same time, next to requests."
    )
    job_retention_s: float = Field(
        86_400.0, gt=0, description="How long a finished job and its result are kept, in seconds."
    )
    max_job_crashes: int = Field(
        20,
        ge=1,
        description="A job that was running at this many crashes of the server fails; after two, it runs alone.",
    )
    webhook_timeout_s: float = Field(
        20.0, gt=0, description="Maximum duration of one attempt to deliver to a webhook, in seconds."
    )
    webhook_retry_for_s: float = Field(
        86_400.0,
        ge=0,
        description="How long after its job's end a failed delivery is tried again, in seconds.",
    )
    webhook_allowed_hosts: Names = Field(
        (),
        description="Hosts, addresses and networks, separated by commas, that webhooks may use in addition to "
        "public addresses, such as `receiver.lan,10.0.0.0/8`.",
    )
    webhook_secret: WebhookSecret | None = Field(
        None,
        description="Key that signs webhooks by the Standard Webhooks specification: `whsec_` and base64 of 24 to "
        "64 bytes. It has no flag, because other users of the machine could read that.",
    )
