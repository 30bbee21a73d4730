"""The jobs of several servers, in a PostgreSQL database. Needs the extra `shared-jobs`."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from hf_asr_endpoint.errors import InvalidSettings, StorageFailed
from hf_asr_endpoint.jobs.database import COLUMNS, INDEXES, VERSION

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 4
CONNECTION_TIMEOUT_S = 5  # for one that works
STATEMENT_TIMEOUT_S = 10

_DEFAULTS: dict[str, str | int] = {
    "application_name": "hf-asr-endpoint",
    "connect_timeout": CONNECTION_TIMEOUT_S,
    "tcp_user_timeout": STATEMENT_TIMEOUT_S * 1000,  # notices a machine that is gone while it is sent something
    "keepalives_idle": 5,  # and these while it is to answer: 11 s
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
_LOCK = 0x6866_6173_7221
"""The number of the advisory lock that exclusive transactions hold. Any number that nothing else uses."""

_NAME = "jobs of hf-asr-endpoint, version "
_SCHEMA = f"""
CREATE TABLE jobs (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the order of submission, and of the queue
    {COLUMNS}
);
{INDEXES}
"""
_COMMENT = (
    "SELECT obj_description(to_regclass('jobs'), 'pg_class') AS comment, to_regclass('jobs') IS NULL AS is_new"
)

_Connection: TypeAlias = "psycopg.Connection[DictRow]"


class PostgresDatabase:
    """A pool of connections, from which each call takes one."""

    skip_locked = "FOR UPDATE SKIP LOCKED"

    def __init__(self, pool: ConnectionPool[_Connection], table_id: str) -> None:
        """table_id: made with the table, so that no two tables have the same."""
        self._pool = pool
        self.table_id = table_id

    @contextmanager
    def transaction(self, *, is_exclusive: bool = False) -> Iterator[_Statements]:
        with self._connection() as connection, connection.transaction():
            if is_exclusive:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            yield _Statements(connection)

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[DictRow]:
        with self._connection() as connection:
            return _Statements(connection).execute(statement, values).fetchall()

    def now(self) -> float:
        now: float = self.query("SELECT extract(epoch FROM clock_timestamp())::float8 AS now")[0]["now"]
        return now

    def forget_deleted(self) -> None:
        """VACUUM is the database's own task."""

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def _connection(self) -> Iterator[_Connection]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except psycopg.Error as exc:  # Its text may show the network's addresses, and clients read ours.
            logger.error("the database of jobs failed: %s", exc)
            raise StorageFailed("jobs cannot be kept (the database failed; the server's log says more)") from exc


class _Statements:
    """Statements whose places for values are question marks, as everywhere else in this package."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[DictRow]:
        return self._connection.execute(statement.replace("?", "%s").encode(), values)


def open_postgres(url: str) -> PostgresDatabase:
    """Connect, and create the table if there is none.

    Raises InvalidSettings for a URL that cannot be used, StorageFailed if the database does not answer, or has a
    table `jobs` of something else.
    """
    try:
        given = conninfo_to_dict(url)
        conninfo = make_conninfo(url, **{name: value for name, value in _DEFAULTS.items() if name not in given})
    except psycopg.ProgrammingError:  # Its text may show a password.
        raise InvalidSettings(
            "HF_ASR_JOBS_DATABASE is not a URL of PostgreSQL; allowed: like postgresql://USER:PASSWORD@HOST:5432/NAME"
        ) from None
    _check_escapes(url, given)
    try:
        with psycopg.connect(conninfo, row_factory=dict_row) as connection:
            table_id = _create_table(connection)
    except psycopg.Error as exc:
        raise StorageFailed(f"the database of jobs cannot be used: {str(exc).strip()}") from exc
    pool: ConnectionPool[_Connection] = ConnectionPool(
        conninfo,
        min_size=1,
        max_size=MAX_CONNECTIONS,
        timeout=CONNECTION_TIMEOUT_S,
        reconnect_timeout=CONNECTION_TIMEOUT_S,  # Attempts get rarer; the next statement begins anew.
        kwargs={"autocommit": True, "row_factory": dict_row},
        configure=_limit_time,
        check=ConnectionPool.check_connection,
        name="jobs",
        open=True,
    )
    return PostgresDatabase(pool, table_id)


def _check_escapes(url: str, given: Mapping[str, Any]) -> None:
    """Raise InvalidSettings if part of the password would be taken for a host, a port or a name, and shown."""
    ports = str(given.get("port") or "").split(",")
    place, _, name = url.partition("://")[2].partition("?")[0].partition("/")
    if place.count("@") > 1 or "@" in name or not all(port.isdecimal() or not port for port in ports):
        raise InvalidSettings(
            "HF_ASR_JOBS_DATABASE has a password or a name with @, / or :; allowed: percent-encoded, such as %40"
        )


def _create_table(connection: _Connection) -> str:
    """Create the table if there is none. Returns its id."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))  # Several servers may start at once.
    found = connection.execute(_COMMENT).fetchone()
    assert found is not None
    if found["is_new"]:
        table_id = secrets.token_hex(4)
        connection.execute(_SCHEMA.encode())
        connection.execute(f"COMMENT ON TABLE jobs IS '{_NAME}{VERSION}, {table_id}'".encode())
        return table_id
    name, _, table_id = str(found["comment"]).rpartition(", ")
    if name != f"{_NAME}{VERSION}":
        kind = found["comment"] if str(found["comment"]).startswith(_NAME) else "something else"
        raise StorageFailed(
            f"the database has a table `jobs` that holds {kind}; allowed: a database, or a schema in the user's "
            f"search_path, that has none, or {_NAME}{VERSION}"
        )
    return table_id


def _limit_time(connection: _Connection) -> None:
    """A server that hangs in a transaction must not keep the others waiting."""
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute("SELECT set_config(%s, %s, false)", (name, f"{STATEMENT_TIMEOUT_S}s"))
