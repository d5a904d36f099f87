"""The numbers of a channel's changes: one after another under one master, and greater under each later one.

A failover without synchronous replication loses the last commits. If the new master gave their numbers out again,
nobody could tell which change a client, a cache or an event knows by a number. So the term of the master is in the
upper bits: what is newer has the greater number, and no number is ever given to two changes (decision 0020).

The term is counted by the mark that the prober (`db/pool/prober.py`) leaves in each new master. A master that does not
bear its own mark yet writes under the number which that mark will have, so that no write has to wait for it.
"""

from db.model.settings import Dialect

TERM_BITS = 32


def term_in(seq: int) -> int:
    """The `number` of the term under which the change was committed; of a channel without changes that of the first."""
    return (seq >> TERM_BITS) + 1


def first_of_term(seq: int) -> int:
    """The least number that the same master may have given out."""
    return (seq >> TERM_BITS << TERM_BITS) + 1


# The mark is "<number> <server>/<timeline>"; see `Facts` for what a server says of itself.
_MARK = "FROM systems WHERE name = 'db_generation'"
_POSTGRES_SELF = (
    "(SELECT system_identifier FROM pg_control_system()) || '/' ||"
    " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"
)
_POSTGRES = f"split_part(value, ' ', 1)::bigint - (split_part(value, ' ', 2) = {_POSTGRES_SELF})::int"
# As bytes: the variable may have another collation than the column.
_MYSQL = (
    "CAST(substring_index(value, ' ', 1) AS SIGNED)"
    " - (CAST(substring_index(value, ' ', -1) AS BINARY) = CAST(concat(@mmnode_server, '/0') AS BINARY))"
)
BEFORE: dict[Dialect, str] = {
    "postgres": f"coalesce((SELECT ({_POSTGRES}) << {TERM_BITS} {_MARK}), 0)",
    "mysql": f"coalesce((SELECT CAST(({_MYSQL}) << {TERM_BITS} AS SIGNED) {_MARK}), 0)",
}
"""An expression of SQL: all numbers given out under the present master are greater."""
