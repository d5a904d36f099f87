"""How much there is, as far as that can be told without reading all of it."""

from db.model import limits
from db.pool.queryable import Queryable
from db.sql.figures import estimated


async def posts(db: Queryable) -> int:
    """About how many messages people have written that are not deleted.

    Exact up to limits.COUNTED_POSTS rows; beyond, the share of these among as many, of what the database takes the
    table for.
    """
    row = await db.fetch_one(
        "SELECT count(*), coalesce(sum(CASE WHEN p.delete_at = 0 AND p.type = '' THEN 1 ELSE 0 END), 0)"
        " FROM (SELECT delete_at, type FROM posts LIMIT %s) p",
        (limits.COUNTED_POSTS,),
    )
    seen, counted = (int(row[0]), int(row[1])) if row else (0, 0)
    if seen < limits.COUNTED_POSTS:
        return counted
    rows = max(await estimated(db, "posts"), seen)
    return counted * rows // seen
