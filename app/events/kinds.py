"""The recoverable changes of a channel that are no new posts: a class each, of which the event is built live and again.

    verb    PostEdited(id) ──changes.record──> channel_events      PostEdited(id).live(seq, Scene) ──> bus
    replay  channel_events ──Stored.read──> PostEdited(id).event(seq, Scene) ──> who missed it

A kind is its row: `ref`, and the other fields as the payload's JSON. Rows are read by nodes of the version before and
of the next one (they serve side by side): a field that is added has a default, and none is taken away or gets another
meaning. Whatever else the event says comes from the `Scene`: live what the verb wrote, later what the database holds.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from app.events import wire
from app.events.messages import Audience, Event, build
from app.events.names import Name
from db.model.entities import ChannelInfo, Post, Reaction
from db.model.ids import PostId, UserId
from db.order.changes import Change
from db.sql.reactions import Reactions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """Where a change happened. posts: those that changes name, and are there. reactions: to these posts."""

    channel: ChannelInfo
    posts: Mapping[PostId, Post] = field(default_factory=dict)
    reactions: Reactions = field(default_factory=dict)


class Kind(Change, frozen=True):
    """A change with its event. `kind` is its word in the database, and the name of the event."""

    kind: ClassVar[Name]

    def event(self, seq: int, scene: Scene) -> Event | None:
        """The event; None when there is nothing to tell any more. seq: the number of the change."""
        raise NotImplementedError

    def live(self, seq: int, scene: Scene) -> Event:
        """The event of a change that was just made."""
        event = self.event(seq, scene)
        if event is None:
            raise ValueError(f"{self.kind} of {self.ref} is not in its scene")
        return event


class OfPost(Kind, frozen=True):
    """A change of a post, whose id is `ref`. Nothing is told once the post is deleted: its deletion tells all.

    What it said is gone, and who hears of the change now may have come after it.
    """

    def event(self, seq: int, scene: Scene) -> Event | None:
        """See `Kind`."""
        post = scene.posts.get(PostId(self.ref))
        return None if post is None or post.delete_at else self.of_post(seq, scene, post)

    def of_post(self, seq: int, scene: Scene, post: Post) -> Event:
        """The event, of the post as the scene has it."""
        raise NotImplementedError


class PostEdited(OfPost, frozen=True):
    """A post says something else, or was pinned or unpinned."""

    kind = Name.POST_EDITED

    def of_post(self, seq: int, scene: Scene, post: Post) -> Event:
        """See `OfPost`."""
        return _event(self, seq, scene, _shown(scene, post))


class PostDeleted(OfPost, frozen=True):
    """A post is gone, and its replies with it. update_at: of the post before.

    It is one event with two copies: administrators learn who deleted it (decision 0018). Live it shows the post as it
    was, later what a list shows of it.
    """

    kind = Name.POST_DELETED
    deleted_by: UserId
    update_at: int = 0

    def event(self, seq: int, scene: Scene) -> Event | None:
        """See `Kind`."""
        post = scene.posts.get(PostId(self.ref))
        if post is None:
            return None
        data = _shown(scene, post)
        sensitive = _event(self, seq, scene, data | {"delete_by": self.deleted_by}).frame
        return replace(_event(self, seq, scene, data), sensitive=sensitive)


class _Reacted(OfPost, frozen=True):
    user_id: UserId
    emoji_name: str
    create_at: int

    def of_post(self, seq: int, scene: Scene, post: Post) -> Event:
        """See `OfPost`."""
        reaction = Reaction(post.id, self.user_id, self.emoji_name, self.create_at)
        return _event(self, seq, scene, {"reaction": wire.encode(wire.reaction(reaction)).decode()})


class ReactionAdded(_Reacted, frozen=True):
    """Somebody reacted to a post."""

    kind = Name.REACTION_ADDED


class ReactionRemoved(_Reacted, frozen=True):
    """Somebody took a reaction back. create_at: when."""

    kind = Name.REACTION_REMOVED


class UserAdded(Kind, frozen=True):
    """A user, whose id is `ref`, joined the channel."""

    kind = Name.USER_ADDED

    def event(self, seq: int, scene: Scene) -> Event:
        """See `Kind`."""
        return _event(self, seq, scene, {"user_id": self.ref, "team_id": scene.channel.team_id})


class UserRemoved(Kind, frozen=True):
    """A user, whose id is `ref`, left the channel or was removed; to those who stay. remover_id: '' for the user."""

    kind = Name.USER_REMOVED
    remover_id: str = ""

    def event(self, seq: int, scene: Scene) -> Event:
        """See `Kind`."""
        return _event(self, seq, scene, {"user_id": self.ref, "remover_id": self.remover_id or self.ref})


def _event(change: Kind, seq: int, scene: Scene, data: dict[str, object]) -> Event:
    return build(change.kind, data, Audience(channel_id=scene.channel.id), seq)


def _shown(scene: Scene, post: Post) -> dict[str, object]:
    """A deleted post has lost its reactions for whoever sees it."""
    given = () if post.delete_at else scene.reactions.get(post.id, ())
    return {"post": wire.encode(wire.post(post, reactions=given)).decode()}


def _kinds(base: type[Kind]) -> Iterator[type[Kind]]:
    for one in base.__subclasses__():
        if hasattr(one, "kind"):
            yield one
        yield from _kinds(one)


KINDS: Mapping[str, type[Kind]] = MappingProxyType({one.kind.value: one for one in _kinds(Kind)})
"""All kinds by their word: the classes of this module, so that none can be forgotten."""


class Stored:
    """Reads what is stored. A row that this version cannot read is left out, and its kind named in the log once."""

    def __init__(self) -> None:
        self._unread: set[str] = set()

    def read(self, kind: str, ref: str, payload: str) -> Kind | None:
        """The change of a row of `channel_events`; None for a kind, or a payload, of another version."""
        known = KINDS.get(kind)
        try:
            if known is not None:
                return msgspec.convert(msgspec.json.decode(payload, type=dict[str, object]) | {"ref": ref}, known)
            reason = "a later version has it"
        except msgspec.MsgspecError as error:
            reason = str(error)
        if kind not in self._unread:
            self._unread.add(kind)
            log.warning("changes of a kind are not told again", extra={"kind": kind, "reason": reason})
        return None
