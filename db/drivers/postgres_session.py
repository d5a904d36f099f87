"""PostgreSQL: what a session of ours is set to, and whether it is ours alone.

Settings go by a statement once the connection is made, and not as `options` of its start, which poolers refuse or
ignore. A pooler that gives each transaction another session would take them, our prepared statements and the lock of
migrations away: it is refused (decision 0034).
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import Mapping
from typing import Any

import psycopg

from db.drivers.postgres_raw import RawConnection
from db.model.errors import Refused
from db.model.settings import PoolSettings

IDLE_IN_TRANSACTION_S = 2.0
"""A node that dies, freezes or is cut off keeps others waiting for its locks as long, and 3 s at most (design §4)."""
_ANOTHER_S = 2.0
_MARK = "mmnode.session"
_NAMED = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)=")
_LINUX_ONLY = "client_connection_check_interval"
"""Elsewhere some servers take no value for it but 0."""
_SHARED = (
    "a pooler gives each transaction another session (PgBouncer: pool_mode = transaction or statement): set pool_mode ="
    " session for this database, or name the server itself"
)
_NOT_TAKEN = ("22", "42")
"""Classes of errors: it does not know such a value, or such a name; or we may not set it."""
_WHOSE = f"SELECT pg_backend_pid(), coalesce(current_setting('{_MARK}', true), '')"


def wanted(settings: PoolSettings, said: Mapping[str, str], options: str) -> dict[str, str]:
    """Settings of a session. said: by the connection string, beside its `options`; what either names goes before."""
    ours = {
        "statement_timeout": str(int(settings.query_timeout_s * 1000)),
        "idle_in_transaction_session_timeout": str(int(IDLE_IN_TRANSACTION_S * 1000)),
        # The same for who is cut off while the server waits for the rest of what was sent, or for somebody's lock.
        "tcp_keepalives_idle": "1",
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": "3000",
        _LINUX_ONLY: "500",
        "timezone": "UTC",
        "jit": "off",
    }
    named = {name.replace("-", "_").lower() for name in _NAMED.findall(options)}
    return {name: value for name, value in ours.items() if name not in named} | dict(said)


async def begin(raw: RawConnection, settings: Mapping[str, str], arguments: dict[str, Any]) -> None:
    """Set up a new connection, which was made by `arguments`. Raises Refused when its session is not ours alone."""
    raw.mark = secrets.token_hex(8)
    calls = [_set(name) for name in (*settings, _MARK)]
    parameters = [one for pair in (*settings.items(), (_MARK, raw.mark)) for one in pair]
    try:
        cursor = await raw.execute(f"SELECT pg_backend_pid(), {', '.join(calls)}".encode(), parameters)
    except psycopg.Error as error:
        if error.sqlstate is not None and error.sqlstate.startswith(_NOT_TAKEN):
            raise Refused(f"the server does not take a setting of the session: {error}") from error
        raise
    row = await cursor.fetchone()
    assert row is not None
    if row[0] != raw.info.backend_pid:  # who answers is not who let us in
        await _refuse_shared(raw, row[0], arguments)


def _set(name: str) -> str:
    where = "version() LIKE '%%linux%%'" if name == _LINUX_ONLY else "true"
    return f"CASE WHEN {where} THEN set_config(%s, %s, false) END"


def judge(raw: RawConnection, mark: str) -> None:
    """mark: what the session that answers says its mark is. Raises Refused when that is another's."""
    if mark != raw.mark:
        raise Refused(_SHARED)


async def _refuse_shared(raw: RawConnection, pid: int, arguments: dict[str, Any]) -> None:
    """While another connection is in a transaction, ours still has the session that it had, or it is not ours."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(_ANOTHER_S):
                another = await stack.enter_async_context(await psycopg.AsyncConnection.connect(**arguments))
                await stack.enter_async_context(another.transaction())
                row = await (await another.execute("SELECT pg_backend_pid()")).fetchone()
        except psycopg.errors.ProtocolViolation as error:  # a pooler by statements takes no transaction
            raise Refused(_SHARED) from error
        except (TimeoutError, psycopg.OperationalError):
            return  # it has no other session to give, so ours is taken
        assert row is not None
        if row[0] == pid:
            raise Refused(_SHARED)
        try:
            async with asyncio.timeout(_ANOTHER_S):
                ours = await (await raw.execute(_WHOSE)).fetchone()
        except TimeoutError as error:  # frozen, or others have them all
            raise psycopg.OperationalError("the pooler gave no session in time") from error
        if ours != (pid, raw.mark):
            raise Refused(_SHARED)
