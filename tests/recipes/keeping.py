"""A noun of which copies are kept, its migration, and a job."""

from tests.recipes.step import NEW, Edit, Recipe, Step

_TABLES = "tests/db/test_tables.py"

CACHED = Recipe(
    "Add a cached noun",
    (
        Step(
            (
                Edit(
                    "db/model/entities.py",
                    "",
                    '''

class Draft(msgspec.Struct, frozen=True):
    """What a user has begun to write in a channel."""

    user_id: UserId
    channel_id: ChannelId
    message: str
''',
                ),
                Edit(
                    "db/model/tables.py",
                    """CLUSTER_LOG = Table("cluster_log", ("id", "namespace", "key", "create_at"))
""",
                    """DRAFTS = Table(
    "drafts", entities.Draft.__struct_fields__, tells=(Tells(Namespace.DRAFTS, "user_id"),), witness="user_id"
)
""",
                ),
                Edit(
                    "db/model/tables.py",
                    """    PREFERENCES = "preferences"
""",
                    """    DRAFTS = "drafts"
""",
                ),
                Edit(
                    "db/model/tables.py",
                    """    SYSTEMS,
""",
                    """    DRAFTS,
""",
                ),
            ),
            (
                f"{_TABLES}::test_the_slots_of_objects_are_those_of_other_versions",
                f"{_TABLES}::test_every_namespace_has_its_function_and_fits_its_column",
            ),
        ),
        Step(
            (
                Edit(
                    "db/model/shards.py",
                    """def team(team_id: str) -> Shard:
""",
                    '''def drafts(user_id: str) -> Shard:
    """All drafts of a user."""
    return of(Namespace.DRAFTS, user_id)


def team(team_id: str) -> Shard:
''',
                    instead=True,
                ),
                Edit(
                    "db/sql/drafts.py",
                    NEW,
                    '''"""Drafts: SQL of the table `drafts`."""

from db.model import shards
from db.model.entities import Draft
from db.model.ids import ChannelId, UserId
from db.model.tables import DRAFTS
from db.pool.queryable import Queryable


async def find_of_user(db: Queryable, user_id: UserId) -> list[Draft]:
    """All of a user."""
    rows = await db.fetch(
        f"SELECT {DRAFTS.names()} FROM drafts WHERE user_id = %s",  # noqa: S608 (a constant)
        (user_id,),
        on=(shards.drafts(user_id),),
    )
    return [Draft(UserId(str(row[0])), ChannelId(str(row[1])), str(row[2])) for row in rows]
''',
                ),
                Edit(
                    "app/caches.py",
                    """            capacity=20_000,
        )

    async def heads_of(""",
                    """            capacity=20_000,
        )
        self.drafts: Cache[UserId, list[Draft]] = registry.declare(
            "drafts",
            lambda user_id: drafts.find_of_user(db, user_id),
            on=lambda user_id: (shards.drafts(user_id),),
            capacity=5_000,
        )

    async def heads_of(""",
                    instead=True,
                ),
                Edit("app/caches.py", "    ChannelInfo,\n", "    Draft,\n"),
                Edit("app/caches.py", "from db.sql.teams import OfUser\n", "from db.sql import drafts\n"),
            ),
            (
                f"{_TABLES}::test_copies_depend_only_on_what_every_node_is_told_of",
                f"{_TABLES}::test_the_slots_of_objects_are_those_of_other_versions",
                "tests/test_docs.py::test_every_folders_map_names_its_files_and_no_others[db/sql]",
            ),
        ),
        Step(
            (
                Edit(
                    _TABLES,
                    """_KEYS: dict[str, Any] = {
""",
                    """    "drafts": "one",
""",
                ),
                Edit(_TABLES, """"posts": 4204, "viewed": 53046, """, """"drafts": 16739, """),
                Edit(
                    "db/sql/__init__.py",
                    """channels.py     channels, their members and their heads
""",
                    """drafts.py       what users have begun to write
""",
                ),
            ),
        ),
    ),
)

MIGRATION = Recipe(
    "Add a migration",
    (
        Step(
            (
                Edit(
                    "db/schema/postgres/0990_drafts.sql",
                    NEW,
                    """CREATE TABLE drafts (
    user_id varchar(26) NOT NULL,
    channel_id varchar(26) NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (user_id, channel_id)
);

""",
                ),
            ),
            ("tests/db/test_mysql_text.py::test_both_drivers_have_the_same_migrations",),
        ),
        Step(
            (
                Edit(
                    "db/schema/mysql/0990_drafts.sql",
                    NEW,
                    """CREATE TABLE drafts (
    user_id varchar(26) NOT NULL,
    channel_id varchar(26) NOT NULL,
    message mediumtext NOT NULL,
    PRIMARY KEY (user_id, channel_id)
);

""",
                ),
            ),
            ("tests/db/test_mysql_text.py::test_every_statement_of_a_migration_is_harmless_when_run_again",),
        ),
        Step(
            (
                Edit(
                    "db/schema/mysql/0990_drafts.sql",
                    "CREATE TABLE drafts",
                    "CREATE TABLE IF NOT EXISTS drafts",
                    instead=True,
                ),
            ),
        ),
    ),
)

JOB = Recipe(
    "Add a job",
    (
        Step(()),
        Step(
            (
                Edit(
                    "app/jobs.py",
                    """JOBS = (trim_log,""",
                    '''@job(every_s=300.0)
async def trim_drafts(duty: Duty) -> int:
    """Drafts of which nothing is left."""
    return await duty.in_batches(drafts.trim)


JOBS = (trim_log,''',
                    instead=True,
                ),
                Edit("app/jobs.py", "from db.sql import attempts, audits, ", "drafts, "),
            ),
            ("tests/app/test_jobs.py::test_every_job_is_done",),
        ),
        Step(
            (
                Edit("app/jobs.py", "trim_attempts, trim_audits", ", trim_drafts"),
                Edit(
                    "db/sql/drafts.py",
                    "",
                    '''

async def trim(tx: Transaction, batch: int) -> int:
    """Remove so many drafts that are empty; how many there were."""
    rows = await tx.fetch("SELECT user_id, channel_id FROM drafts WHERE message = '' LIMIT %s", (batch,))
    for user_id, channel_id in rows:
        await tx.execute(
            "DELETE FROM drafts WHERE user_id = %s AND channel_id = %s",
            (user_id, channel_id),
            changes=(shards.drafts(str(user_id)),),
        )
    return len(rows)
''',
                ),
                Edit("db/sql/drafts.py", "from db.pool.queryable import Queryable", ", Transaction"),
            ),
        ),
    ),
)
