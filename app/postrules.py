"""What a change of a post needs: declared once, asked before its transaction and under its lock (decision 0027)."""

from collections.abc import Callable
from dataclasses import dataclass

from app.errors import AppError
from app.permissions import Actor, can_in_channel, require
from db.model.entities import Post
from db.order import changes
from db.order.changes import Place
from db.pool.queryable import Transaction
from db.sql import channels, edits
from db.sql.channels import Access


@dataclass(frozen=True)
class PostRule:
    """own, others: the permissions (names separated by spaces) that one's own post takes, and that of another.

    archived: makes the error of a post in an archived channel.
    """

    own: str
    others: str
    archived: Callable[[], AppError]

    def ask(self, actor: Actor, post: Post, access: Access) -> None:
        """Raises 403, or the error of an archived channel."""
        needed = self.own if post.user_id == actor.user_id else self.others
        require(all(can_in_channel(actor, access, permission) for permission in needed.split()))
        if access.channel.delete_at:
            raise self.archived()

    async def lock(self, tx: Transaction, actor: Actor, post: Post) -> tuple[Place, Post]:
        """The next number of the post's channel, and the post as it is now. Raises what `ask` does, and 404."""
        place = await changes.begin(tx, post.channel_id)
        current = await edits.find(tx, post.id)
        access = await channels.find_access(tx, post.channel_id, actor.user_id)
        if place is None or current is None or access is None:
            raise AppError("app.post.get.app_error", 404)
        self.ask(actor, current, access)
        return place, current
