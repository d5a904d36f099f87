"""Many users with sessions and channels, written straight into the database of a node."""

from dataclasses import dataclass

import psycopg

from db.model.ids import token_hash
from tests.rig.node import Node
from tests.rig.people import new_channel, new_team, new_user
from tests.rig.rest import Rest

CHANNELS = 1000
CHANNELS_EACH = 100
ALONE = 100

_USER = "'u' || lpad(i::text, 25, '0')"
_CHANNEL = "'c' || lpad(i::text, 25, '0')"
_ALONE = "'p' || lpad(i::text, 25, '0')"
_MEMBER = (
    "INSERT INTO channel_members (channel_id, user_id, last_update_at, join_seq, viewed_seq, last_viewed_at, msg_count,"
    " msg_count_root) SELECT {channel}, {user}, 1, 1, 1, 0, 0, 0 FROM generate_series(0, %(count)s - 1) i {more}"
)
_STATEMENTS = (
    # Nobody holds a copy of any of this, and the triggers would tell of a million rows.
    "SET session_replication_role = replica",
    "INSERT INTO users (id, create_at, update_at, username, password, email, roles)"
    f" SELECT {_USER}, 1, 1, 'bench' || i, '', 'bench' || i || '@example.com', 'system_user'"
    " FROM generate_series(0, %(count)s - 1) i",
    "INSERT INTO sessions (id, token_hash, user_id, create_at, expires_at, last_activity_at, csrf_token)"
    f" SELECT 's' || lpad(i::text, 25, '0'), hash, {_USER}, 1, %(later)s, %(later)s, ''"
    " FROM unnest(%(hashes)s::text[]) WITH ORDINALITY AS one (hash, number), LATERAL (SELECT number - 1 AS i) two",
    "INSERT INTO team_members (team_id, user_id, create_at)"
    f" SELECT %(team)s, {_USER}, 1 FROM generate_series(0, %(count)s - 1) i",
    "INSERT INTO channels (id, create_at, update_at, team_id, type, display_name, name)"
    f" SELECT {_CHANNEL}, 1, 1, %(team)s, 'O', 'bench' || i, 'bench' || i FROM generate_series(0, %(channels)s - 1) i",
    f"INSERT INTO channel_heads (channel_id, seq) SELECT {_CHANNEL}, 1 FROM generate_series(0, %(channels)s - 1) i",
    _MEMBER.format(
        channel="'c' || lpad(((i + k * (%(channels)s / %(each)s)) %% %(channels)s)::text, 25, '0')",
        user=_USER,
        more=", generate_series(1, %(each)s - 1) k",
    ),
    _MEMBER.format(channel="%(common)s", user=_USER, more=""),
    "INSERT INTO channels (id, create_at, update_at, team_id, type, display_name, name)"
    f" SELECT {_ALONE}, 1, 1, %(team)s, 'P', 'alone' || i, 'alone' || i FROM generate_series(0, %(alone)s - 1) i",
    f"INSERT INTO channel_heads (channel_id, seq) SELECT {_ALONE}, 1 FROM generate_series(0, %(alone)s - 1) i",
    "INSERT INTO channel_members (channel_id, user_id, last_update_at, join_seq, viewed_seq, last_viewed_at, msg_count,"
    f" msg_count_root) SELECT {_ALONE}, {_USER}, 1, 1, 1, 0, 0, 0 FROM generate_series(0, %(alone)s - 1) i",
    "ANALYZE",
)


@dataclass(frozen=True)
class Population:
    """owner: made by the API, may write. common: a channel of everybody; each is in 99 others of 1,000 besides.

    alone: channels of the first 100, each of one alone.
    """

    owner: Rest
    common: str
    tokens: list[str]
    alone: list[str]


def populate(node: Node, count: int) -> Population:
    """Make so many users, each with a token."""
    owner = new_user(node.url, "owner")
    team = new_team(owner)
    common = new_channel(owner, team)
    tokens = [f"t{number:025d}" for number in range(count)]
    values = {
        "count": count, "channels": CHANNELS, "each": CHANNELS_EACH, "team": team["id"], "common": common["id"],
        "alone": min(ALONE, count), "hashes": [token_hash(token) for token in tokens], "later": 1 << 45,
    }  # fmt: skip
    with psycopg.connect(node.master_dsn(), autocommit=True) as connection:
        for statement in _STATEMENTS:
            connection.execute(statement.encode(), values if "%(" in statement else None)
    return Population(owner, common["id"], tokens, [f"p{number:025d}" for number in range(min(ALONE, count))])
