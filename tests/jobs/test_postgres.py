"""What is PostgreSQL's own: connections, and what a database holds already."""

from __future__ import annotations

import psycopg
import pytest

from hf_asr_endpoint.errors import InvalidSettings, StorageFailed
from hf_asr_endpoint.jobs.database import VERSION
from hf_asr_endpoint.jobs.postgres import CONNECTION_TIMEOUT_S, open_postgres
from hf_asr_endpoint.jobs.table import JobTable
from tests.jobs.place import Place
from tests.jobs.steps import add


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_the_table_is_created_once(shared_place: Place, postgres: str) -> None:
    first, second = JobTable(open_postgres(postgres)), JobTable(open_postgres(postgres))
    add(first, "a")
    assert second.count_queued() == 1
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("comment", "holds"),
    [
        ("'groceries'", "something else"),
        (f"'jobs of hf-asr-endpoint, version {VERSION + 1}'", f"version {VERSION + 1}"),
    ],
)
def test_a_table_of_another_kind_is_refused_and_left_alone(
    shared_place: Place, postgres: str, comment: str, holds: str
) -> None:
    execute(
        postgres, f"CREATE TABLE jobs (n INTEGER); COMMENT ON TABLE jobs IS {comment}; INSERT INTO jobs VALUES (7)"
    )
    with pytest.raises(StorageFailed, match=f"that holds .*{holds}; allowed: .*version {VERSION}"):
        open_postgres(postgres)
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT n FROM jobs").fetchall() == [(7,)]


def test_a_database_that_does_not_answer_is_an_error_at_the_start() -> None:
    with pytest.raises(StorageFailed, match=r"the database of jobs cannot be used: .*refused"):
        open_postgres("postgresql://test@127.0.0.1:9/postgres")


def test_an_invalid_url_is_refused_without_its_password() -> None:
    with pytest.raises(InvalidSettings) as caught:
        open_postgres("postgresql://me:secret@[/x?unknown=1")
    assert "HF_ASR_JOBS_DATABASE" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("password", ["p@secret", "secret/x", "sec:ret/x", "a@secret/x"])
def test_a_password_that_is_not_encoded_is_not_shown(password: str) -> None:
    with pytest.raises(InvalidSettings, match=r"allowed: percent-encoded, such as %40") as caught:
        open_postgres(f"postgresql://me:{password}@127.0.0.1:9/postgres")
    assert "sec" not in str(caught.value)


def test_connections_that_the_database_has_closed_are_replaced(shared_place: Place, postgres: str) -> None:
    table = JobTable(open_postgres(postgres))
    add(table, "a")
    execute(
        postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hf-asr-endpoint'",
    )
    assert table.count_queued() == 1
    table.close()


def test_an_error_of_the_database_shows_clients_nothing_of_it(
    shared_place: Place, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = JobTable(open_postgres(postgres))
    execute(postgres, "DROP TABLE jobs")
    with pytest.raises(
        StorageFailed, match=r"^jobs cannot be kept \(the database failed; the server's log says more\)$"
    ):
        table.count_queued()
    assert 'relation "jobs" does not exist' in caplog.text
    table.close()


def test_a_hanging_server_does_not_keep_its_locks(shared_place: Place, postgres: str) -> None:
    database = open_postgres(postgres)
    assert database.query("SHOW idle_in_transaction_session_timeout")[0] == {
        "idle_in_transaction_session_timeout": "10s"
    }
    database.close()


def test_a_connection_that_is_lost_is_noticed_and_replaced_within_seconds(
    shared_place: Place, postgres: str
) -> None:
    database = open_postgres(postgres)
    with database._pool.connection() as connection:
        assert database._pool.reconnect_timeout == CONNECTION_TIMEOUT_S
        parameters = connection.info.get_parameters()
    seconds = [int(parameters[f"keepalives_{name}"]) for name in ("idle", "interval", "count")]
    assert seconds[0] + seconds[1] * seconds[2] <= 15
    database.close()
